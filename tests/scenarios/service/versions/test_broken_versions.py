"""A version at fault is reported with its reason, and the version before goes on answering."""

from pathlib import Path

import pytest

from radiograph.repository.repository import Repository
from service.errors import NotReady
from service.registry.state import State
from tests.builders.models.faults.faulty_versions import DAMAGES, Damage, damage, shift_golden
from tests.builders.models.versions import tiny_version
from tests.builders.models.versions.distinct_versions import publish
from tests.builders.service.registry.registries import load
from tests.builders.service.registry.version_log import VersionLog
from tests.fixtures.service import Start


@pytest.fixture
def log() -> VersionLog:
    return VersionLog()


@pytest.mark.parametrize("break_it", DAMAGES.values(), ids=DAMAGES)
def test_a_broken_version_is_reported_and_the_one_before_answers(
    root: Path, log: VersionLog, break_it: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    registry = load(root, log)
    Repository(root).set_alias("tiny", "stable", 2)
    break_it(root, 2)
    registry.refresh()
    assert registry.lookup.default_is_ready()
    assert registry.lookup.ready().identity.version == 1
    versions = {status.version: status for status in registry.lookup.versions()}
    assert (versions[1].state, versions[1].aliases) == (State.READY, ("stable",))
    assert (versions[2].state, versions[2].aliases) == (State.FAILED, ())
    assert versions[2].wanted_by == ("stable",)
    assert versions[2].reason
    assert log.versions[-1] == (2, "failed")
    assert "tiny/2 failed to load" in caplog.text


def test_a_broken_version_is_tried_again_only_when_its_files_change(
    root: Path, log: VersionLog
) -> None:
    registry = load(root, log)
    whole = (root / "tiny/2/heads/findings.onnx").read_bytes()
    damage(root, 2)
    Repository(root).set_alias("tiny", "stable", 2)
    for _ in range(3):
        registry.refresh()
    assert log.loads == [1, 2]
    (root / "tiny/2/heads/findings.onnx").write_bytes(whole)
    registry.refresh()
    assert registry.lookup.ready().identity.version == 2
    assert log.loads == [1, 2, 2]


def test_a_served_version_that_is_damaged_later_is_reported_and_answers(root: Path) -> None:
    registry = load(root)
    damage(root, 1)
    registry.refresh()
    (status,) = registry.lookup.versions()
    assert status.state is State.READY
    assert "heads/findings.onnx" in str(status.reason)


def test_a_served_version_whose_folder_vanishes_is_reported_and_answers(root: Path) -> None:
    registry = load(root)
    (root / "tiny/1").rename(root / "moved")
    registry.refresh()
    assert registry.lookup.ready().identity.version == 1
    assert "gone" in str(registry.lookup.find().reason)
    (root / "moved").rename(root / "tiny/1")
    registry.refresh()
    assert registry.lookup.find().reason is None


@pytest.mark.parametrize("text", [b"{", None], ids=["broken", "removed"])
def test_broken_aliases_are_reported_and_change_no_answer(root: Path, text: bytes | None) -> None:
    registry = load(root)
    if text is None:
        (root / "tiny/aliases.json").unlink()
    else:
        (root / "tiny/aliases.json").write_bytes(text)
    registry.refresh()
    assert registry.lookup.ready().identity.version == 1
    assert "aliases" in registry.lookup.faults()["tiny"]


def test_a_repository_that_vanishes_changes_no_answer_until_it_is_back(root: Path) -> None:
    registry = load(root)
    (root / "tiny").rename(root / ".away")
    registry.refresh()
    assert registry.lookup.ready().identity.version == 1
    (root / ".away").rename(root / "tiny")
    Repository(root).set_alias("tiny", "stable", 2)
    registry.refresh()
    assert registry.lookup.ready().identity.version == 2
    assert registry.lookup.faults() == {}


def test_a_failed_canary_leaves_the_stable_version_answering(tmp_path: Path) -> None:
    tiny_version.publish(tmp_path, alias="stable")
    tiny_version.publish(tmp_path, alias="canary", change=shift_golden)
    lookup = load(tmp_path).lookup
    assert lookup.default_is_ready()
    assert lookup.ready(reference="stable").identity.version == 1
    with pytest.raises(NotReady, match="tiny/2 is failed"):
        lookup.ready(reference="canary")


def test_a_service_becomes_ready_with_the_first_sound_version(tmp_path: Path) -> None:
    registry = load(tmp_path)
    assert not registry.lookup.default_is_ready()
    publish(tmp_path, bias=1.0)
    registry.refresh()
    assert registry.lookup.default_is_ready()


async def test_a_service_without_a_sound_version_is_live_but_not_ready(
    start: Start, tmp_path: Path
) -> None:
    tiny_version.publish(tmp_path, change=shift_golden)
    async with start(models_dir=tmp_path) as (_, client):
        live, ready = await client.get("/health/live"), await client.get("/health/ready")
        version = await client.get("/v1/models/tiny/versions/1")
        answer = await client.post("/segment", content=b"x")
    assert (live.status_code, ready.status_code, answer.status_code) == (200, 503, 503)
    assert ready.headers["content-type"] == "application/problem+json"
    assert version.json()["state"] == "failed"
    assert "differs" in version.json()["reason"]
