"""A version that is edited in place is refused and reported, and the one in memory serves on."""

import logging
from pathlib import Path

import pytest

from service.observability.metrics.service_metrics import Metrics
from service.registry.registry import ModelRegistry
from service.registry.state import State
from tests.builders.models.faults import faulty_versions
from tests.builders.models.versions import tiny_version
from tests.builders.service.registry import registries
from tests.builders.service.registry.registries import states


@pytest.fixture(params=["pinned", "not pinned"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A version as `stable`, with its pin or without."""
    tiny_version.publish(tmp_path)
    if request.param == "not pinned":
        (tmp_path / "tiny/index.json").unlink()
    return tmp_path


def thresholds(registry: ModelRegistry) -> list[float]:
    manifest = registry.lookup.ready().manifest
    return [label.threshold for label in manifest.heads["findings"].labels]


def test_a_changed_manifest_is_refused_while_the_sound_one_serves(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    registry = registries.load(root, metrics)
    serving, before = registry.lookup.ready(), thresholds(registry)
    faulty_versions.find_everything(root, 1)
    with caplog.at_level(logging.ERROR):
        registry.refresh()
    (status,) = registry.lookup.versions()
    assert (status.state, registry.lookup.ready(), thresholds(registry)) == (
        State.READY,
        serving,
        before,
    )
    assert "manifest was changed" in str(status.reason)
    assert "manifest was changed" in caplog.text
    text = metrics.render("")[0].decode()
    assert 'g2d_versions_refused_total{model="tiny",reason="altered",version="1"} 1.0' in text


def test_a_changed_manifest_is_refused_after_a_restart(tmp_path: Path) -> None:
    tiny_version.publish(tmp_path)
    faulty_versions.find_everything(tmp_path, 1)
    registry = registries.load(tmp_path)
    assert states(registry) == {1: State.FAILED}


def test_a_restored_version_is_sound_again(root: Path) -> None:
    registry = registries.load(root)
    manifest = root / "tiny/1/manifest.json"
    sound = manifest.read_bytes()
    faulty_versions.find_everything(root, 1)
    registry.refresh()
    manifest.write_bytes(sound)
    registry.refresh()
    (status,) = registry.lookup.versions()
    assert (status.state, status.reason) == (State.READY, None)


def test_a_version_without_a_pin_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tiny_version.publish(tmp_path)
    (tmp_path / "tiny/index.json").unlink()
    with caplog.at_level(logging.WARNING):
        registries.load(tmp_path)
    assert "tiny/1 has no pinned digest" in caplog.text
