"""Versions share their sessions in memory, and none is left behind when they are freed."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from radiograph.errors import ModelNotFound
from radiograph.repository.head_publishing import NewHead, publish_head
from radiograph.repository.repository import Repository
from service.backends.ort.graph import Graph, RunCounter
from service.backends.ort.session import OrtOptions
from tests.builders.models.versions import distinct_versions, tiny_version
from tests.builders.models.versions.distinct_versions import publish
from tests.builders.service.backends.counted_backends import CountedBackends
from tests.builders.service.registry.registries import load
from tests.builders.service.registry.version_log import VersionLog


@pytest.fixture
def log() -> VersionLog:
    return VersionLog()


@pytest.fixture
def backends() -> CountedBackends:
    return CountedBackends()


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the graphs that are built; the trunk is built in stages."""
    names: list[str] = []
    real = Graph.__init__

    def count(self: Graph, model: Path | bytes, options: OrtOptions, runs: RunCounter) -> None:
        names.append(model.name if isinstance(model, Path) else "stage")
        real(self, model, options, runs)

    monkeypatch.setattr(Graph, "__init__", count)
    return names


def test_a_version_is_freed_by_the_last_request_that_holds_it(
    root: Path, log: VersionLog, backends: CountedBackends
) -> None:
    registry = load(root, log, backends, keep_retired=0)
    with registry.lookup.lease() as first, registry.lookup.lease() as second:
        Repository(root).set_alias("tiny", "stable", 2)
        registry.refresh()
        assert first.analysis.identity.version == second.analysis.identity.version == 1
        with registry.lookup.lease() as third:
            assert third.analysis.identity.version == 2
        assert (1, "freed") not in log.versions
        assert first.analysis._backend.trunk(np.zeros((1, 1, 64, 64), np.float32))
    assert log.freed.acquire(timeout=60)
    assert log.versions[-1] == (1, "freed")


def test_a_hundred_swaps_leave_no_session_behind(
    root: Path, log: VersionLog, backends: CountedBackends
) -> None:
    registry = load(root, log, backends, keep_retired=0)
    before = backends.graphs
    for version in itertools.islice(itertools.cycle([2, 1]), 100):
        Repository(root).set_alias("tiny", "stable", version)
        registry.refresh()
        assert log.freed.acquire(timeout=60)
    assert backends.graphs == before
    assert len(backends.backends) == 1
    registry.close()
    assert (backends.graphs, len(backends.backends)) == (0, 0)


def test_failed_versions_leave_no_session_behind(root: Path, backends: CountedBackends) -> None:
    registry = load(root, None, backends)
    before = backends.graphs
    for _ in range(10):
        number = publish(root, bias=3.0)
        (root / f"tiny/{number}/golden.npz").write_bytes(b"damaged")
        registry.refresh()
    assert backends.graphs == before


def test_closing_frees_a_held_version_once_it_is_released(
    root: Path, log: VersionLog, backends: CountedBackends
) -> None:
    registry = load(root, log, backends)
    with registry.lookup.lease():
        registry.close()
        assert (1, "freed") not in log.versions
        with pytest.raises(ModelNotFound), registry.lookup.lease():
            pass
    assert log.versions[-1] == (1, "freed")


def test_versions_that_differ_in_a_head_share_the_loaded_trunk(
    root: Path, built: list[str]
) -> None:
    registry = load(root)
    assert built.count("stage") == 4
    built.clear()
    Repository(root).set_alias("tiny", "stable", 2)
    registry.refresh()
    assert built == ["findings.onnx"]


def test_a_head_published_onto_the_served_version_is_loaded_alone(
    root: Path, tmp_path: Path, built: list[str]
) -> None:
    registry = load(root)
    head = findings_with_another_bias(root, tmp_path / "head")
    built.clear()
    assert publish_head(Repository(root), "tiny", head, alias="stable") == 3
    registry.refresh()
    assert registry.lookup.ready().identity.version == 3
    assert built == ["findings.onnx"]


def findings_with_another_bias(root: Path, folder: Path) -> NewHead:
    """Write a head for version 1, with its golden outputs."""
    (folder / "heads").mkdir(parents=True)
    shutil.copy(root / "tiny/1/heads/findings.onnx", folder / "heads")
    distinct_versions.write_findings(folder / "heads/findings.onnx", bias=3.0)
    session = onnxruntime.InferenceSession(folder / "heads/findings.onnx")
    with np.load(root / "tiny/1/golden.npz") as archive:
        features = archive["trunk.global_features"]
    (logits,) = session.run(["logits"], {"global_features": features})
    np.savez(folder / "golden.npz", **{"findings.logits": logits})
    return NewHead("findings", tiny_version.HEADS["findings"], folder)
