"""The view holds the versions of the aliases, and follows them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from g2d.cli import app
from radiograph.errors import InvalidVersion, ModelNotFound
from radiograph.manifest import ModelManifest
from radiograph.repository.integrity.version_files import digest_files
from radiograph.repository.repository import Repository
from service.backends.golden import read_arrays
from service.backends.triton import repository_view
from service.backends.triton.repository_view import render
from tests.builders.models.versions import tiny_version
from tests.builders.triton.triton_repository import config, versions_of


def test_each_alias_has_its_version_and_its_ensembles(own: Path, out: Path) -> None:
    tiny_version.publish(own, alias=None)
    tiny_version.publish(own, alias="canary")
    names = render(Repository(own), out)
    assert sorted(path.name for path in (out / "tiny-trunk").iterdir()) == [
        "1",
        "3",
        "config.pbtxt",
    ]
    assert list(config(out, "tiny-trunk").version_policy.specific.versions) == [1, 3]
    for name, version in (("tiny-classify", 1), ("tiny-canary-classify", 3)):
        assert name in names
        steps = config(out, name).ensemble_scheduling.step
        assert {step.model_version for step in steps} == {version}
        assert (out / name / str(version)).is_dir()
    assert {"tiny-v1", "tiny-v3"} <= set(names)


def test_the_former_version_of_a_moved_alias_is_removed(own: Path, out: Path) -> None:
    render(Repository(own), out)
    tiny_version.publish(own)
    render(Repository(own), out)
    for name in ("tiny-trunk", "tiny-classify"):
        assert [path.name for path in (out / name).iterdir() if path.is_dir()] == ["2"]


def test_versions_in_use_and_roll_back_targets_are_kept_on_request(own: Path, out: Path) -> None:
    tiny_version.publish(own)
    tiny_version.publish(own)
    render(Repository(own), out, "tiny", keep=[1])
    assert versions_of(out, "tiny-trunk") == ["1", "3"]
    render(Repository(own), out, "tiny", previous=True)
    assert versions_of(out, "tiny-trunk") == ["2", "3"]
    assert {"tiny-v2", "tiny-v3"} <= {path.name for path in out.iterdir()}


def test_a_former_version_that_fails_verification_is_left_out(own: Path, out: Path) -> None:
    tiny_version.publish(own)
    (own / "tiny" / "1" / "trunk.onnx").write_bytes(b"another graph")
    render(Repository(own), out, previous=True)
    assert versions_of(out, "tiny-trunk") == ["2"]


def test_a_former_version_with_other_tensors_is_left_out(own: Path, out: Path) -> None:
    stage, build = _with_wider_features(own)
    Repository(own).publish("tiny", stage, build, alias="stable")
    render(Repository(own), out, previous=True)
    assert versions_of(out, "tiny-trunk") == ["2"]


def test_following_renders_new_versions_and_moved_aliases(own: Path, out: Path) -> None:
    def broken() -> None:
        Repository(own).set_alias("tiny", "stable", tiny_version.publish(own, alias=None))
        (own / "tiny" / "3" / "trunk.onnx").write_bytes(b"another graph")

    steps: Iterator[Callable[[], object]] = iter(
        [
            lambda: None,
            lambda: tiny_version.publish(own, alias="canary"),
            broken,
            lambda: Repository(own).set_alias("tiny", "stable", 2),
        ]
    )

    def wait() -> bool:
        step = next(steps, None)
        if step is not None:
            step()
        return step is not None

    seen = [
        versions_of(out, "tiny-trunk")
        for _ in repository_view.follow(Repository(own), out, None, wait)
    ]
    assert seen == [["1"], ["1", "2"], ["2"]]


def test_without_an_alias_the_newest_version_is_rendered(tmp_path: Path, out: Path) -> None:
    for _ in range(2):
        tiny_version.publish(tmp_path / "models", alias=None)
    render(Repository(tmp_path / "models"), out)
    assert list(config(out, "tiny-classify").version_policy.specific.versions) == [2]


def test_versions_with_different_tensors_cannot_be_rendered_together(own: Path, out: Path) -> None:
    stage, build = _with_wider_features(own)
    Repository(own).publish("tiny", stage, build, alias="canary")
    with pytest.raises(InvalidVersion, match="versions 1 and 2 have different tensors"):
        render(Repository(own), out)


def test_rendering_nothing_is_an_error(tmp_path: Path, own: Path, out: Path) -> None:
    with pytest.raises(ModelNotFound):
        render(Repository(tmp_path / "empty"), out)
    with pytest.raises(ModelNotFound):
        render(Repository(own), out, "nobody")
    assert not out.exists()


def test_the_command_renders_and_lists_the_models(tiny_models: Path, out: Path) -> None:
    arguments = ["models", "triton", "--out", str(out), "--model", "tiny"]
    result = CliRunner().invoke(app, arguments, env={"G2D_MODELS_DIR": str(tiny_models)})
    assert result.exit_code == 0
    assert result.stdout.split() == sorted(path.name for path in out.iterdir())


def _with_wider_features(own: Path) -> tuple[Path, Callable[[int], ModelManifest]]:
    """Stage a second version whose golden file has wider features; it is not replayed."""
    stage = tiny_version.copy(own / "tiny" / "1", own.parent / "stage")
    (stage / "manifest.json").unlink()
    shapes = dict(read_arrays(stage / "golden.npz"))
    shapes["trunk.global_features"] = shapes["trunk.global_features"].repeat(2, axis=1)
    np.savez(stage / "golden.npz", **shapes)  # type: ignore[arg-type] # numpy's stub
    digests = digest_files(stage)
    return stage, lambda number: tiny_version.manifest("tiny", number, digests, 1e-4)
