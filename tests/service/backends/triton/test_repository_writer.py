"""Models are replaced only when they changed, and models of other origin are left alone."""

import shutil
from pathlib import Path

import pytest

from radiograph.errors import InvalidVersion, PublishRefused
from radiograph.repository.repository import Repository
from service.backends.triton.repository_view import render
from tests.builders.models.versions import tiny_version
from tests.builders.triton.triton_repository import versions_of


def state(out: Path) -> dict[str, tuple[int, bytes]]:
    """Return every file with its inode, so that a rewritten file is noticed."""
    return {
        path.relative_to(out).as_posix(): (path.stat().st_ino, path.read_bytes())
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def test_rendering_again_changes_nothing(tiny_models: Path, out: Path) -> None:
    render(Repository(tiny_models), out)
    before = state(out)
    render(Repository(tiny_models), out)
    assert state(out) == before


def test_a_graph_keeps_its_modification_time_when_a_version_is_added(own: Path, out: Path) -> None:
    render(Repository(own), out)
    there = [out / "tiny-trunk" / "1", out / "tiny-trunk" / "1" / "model.onnx"]
    before = [path.stat().st_mtime_ns for path in there]
    tiny_version.publish(own, alias="canary")
    render(Repository(own), out)
    assert versions_of(out, "tiny-trunk") == ["1", "2"]
    assert [path.stat().st_mtime_ns for path in there] == before


def test_a_removed_model_leaves_the_view_and_models_of_other_origin_stay(
    own: Path, out: Path
) -> None:
    tiny_version.publish(own, name="other")
    render(Repository(own), out)
    (out / "theirs").mkdir()
    (out / "theirs" / "config.pbtxt").write_text('name: "theirs"\n')
    (out / ".g2d-rendering" / "half").mkdir(parents=True)
    shutil.rmtree(own / "other")
    names = render(Repository(own), out)
    assert sorted(path.name for path in out.iterdir()) == sorted([*names, "theirs"])


def test_rendering_one_model_leaves_the_others_unchanged(own: Path, out: Path) -> None:
    tiny_version.publish(own, name="other")
    render(Repository(own), out, "other")
    assert all(path.name.startswith("other-") for path in out.iterdir())
    render(Repository(own), out, "tiny")
    assert {path.name.partition("-")[0] for path in out.iterdir()} == {"other", "tiny"}


@pytest.mark.parametrize("kind", ["folder", "link", "file"])
def test_a_model_of_other_origin_is_not_overwritten(
    tiny_models: Path, out: Path, kind: str
) -> None:
    out.mkdir()
    place = out / "tiny-trunk"
    if kind == "folder":
        place.mkdir()
    elif kind == "link":
        place.symlink_to("/nowhere")
    else:
        place.write_text("theirs")
    with pytest.raises(PublishRefused, match="of another origin"):
        render(Repository(tiny_models), out)
    assert list(out.iterdir()) == [place]


def test_a_damaged_version_changes_nothing(own: Path, out: Path) -> None:
    render(Repository(own), out)
    before = state(out)
    (own / "tiny" / "1" / "trunk.onnx").write_bytes(b"another graph")
    with pytest.raises(InvalidVersion, match=r"tiny/1: trunk\.onnx"):
        render(Repository(own), out)
    assert state(out) == before


def test_a_graph_that_changes_after_verification_is_not_rendered(
    own: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = Repository(own).verify("tiny", 1)
    monkeypatch.setattr(Repository, "verify", lambda *_: verified)
    (own / "tiny" / "1" / "trunk.onnx").write_bytes(b"another graph")
    with pytest.raises(InvalidVersion, match="changed while it was copied"):
        render(Repository(own), out)
    assert list(out.iterdir()) == []


def test_the_view_is_not_written_into_the_repository(own: Path) -> None:
    with pytest.raises(PublishRefused, match="must not lie in"):
        render(Repository(own), own / "tiny" / "triton")
