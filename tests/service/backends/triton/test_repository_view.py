"""The view holds what the repository holds, in Triton's terms, and changes nothing of others."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2
from typer.testing import CliRunner

from g2d.cli import app
from radiograph.errors import InvalidVersion, ModelNotFound, PublishRefused
from radiograph.manifest import ModelManifest
from radiograph.repository.repository import Repository
from radiograph.repository.version_files import digest_files
from service.backends.golden import read_arrays
from service.backends.triton import repository_view
from service.backends.triton.repository_view import render
from tests.builders.models import tiny_version

HEADS = ("anatomy", "boxes", "findings", "regions", "similarity")
GRAPHS = {"trunk": "trunk.onnx", "text": "text.onnx"} | {
    head: f"heads/{head}.onnx" for head in HEADS
}
ENSEMBLES = {
    "classify": ("trunk", "findings"),
    "segment": ("trunk", "anatomy"),
    "detect": ("trunk", "boxes"),
    "ground": ("trunk", "text", "regions"),
    "ground-similarity": ("trunk", "text", "similarity"),
    "analyze": ("trunk", "text", "findings", "anatomy", "boxes", "regions", "similarity"),
    "v1": ("trunk", "findings", "anatomy", "boxes", "regions", "similarity"),
}
TASKS = [name for name in ENSEMBLES if name not in ("analyze", "v1")]
BATCHES = {"text": 64, "regions": 0, "similarity": 0}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "triton"


@pytest.fixture
def own(tiny_models: Path, tmp_path: Path) -> Path:
    """A repository that a test may change: `tiny/1`, `stable`."""
    return tiny_version.copy(tiny_models, tmp_path / "models")


def config(out: Path, name: str) -> Any:
    """A `config.pbtxt` as Triton's own schema reads it."""
    text = (out / name / "config.pbtxt").read_text()
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def dims(tensors: Any) -> dict[str, list[int]]:
    return {tensor.name: list(tensor.dims) for tensor in tensors}


def whole(model: Any, tensors: Any) -> dict[str, list[int]]:
    """Dimensions with the batch axis that Triton leaves out."""
    batch = [-1] if model.max_batch_size else []
    return {name: batch + shape for name, shape in dims(tensors).items()}


def graph_dims(values: Any) -> dict[str, list[int]]:
    return {
        value.name: [axis.dim_value or -1 for axis in value.type.tensor_type.shape.dim]
        for value in values
    }


def state(out: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with its inode, so that a file that was written again is seen."""
    return {
        path.relative_to(out).as_posix(): (path.stat().st_ino, path.read_bytes())
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def test_every_graph_and_every_task_is_a_triton_model(tiny_models: Path, out: Path) -> None:
    names = render(Repository(tiny_models), out)
    assert names == sorted(f"tiny-{part}" for part in [*GRAPHS, *ENSEMBLES])
    assert sorted(path.name for path in out.iterdir()) == names
    for part in ENSEMBLES:
        inside = {path.name for path in (out / f"tiny-{part}").iterdir()}
        assert inside == {"config.pbtxt", "1"}


@pytest.mark.parametrize(("part", "file"), GRAPHS.items())
def test_a_graph_is_copied_and_described_as_it_is(
    tiny_models: Path, out: Path, part: str, file: str
) -> None:
    render(Repository(tiny_models), out)
    copied = (out / f"tiny-{part}" / "1" / "model.onnx").read_bytes()
    assert copied == (tiny_models / "tiny" / "1" / file).read_bytes()
    model, graph = config(out, f"tiny-{part}"), onnx.load_from_string(copied).graph
    assert model.name == f"tiny-{part}"
    assert model.backend == "onnxruntime"
    assert model.max_batch_size == BATCHES.get(part, 8)
    assert model.HasField("dynamic_batching") == (model.max_batch_size > 0)
    assert list(model.version_policy.specific.versions) == [1]
    assert whole(model, model.input) == graph_dims(graph.input)
    assert whole(model, model.output) == graph_dims(graph.output)
    kind = model_config_pb2.TYPE_INT64 if part == "text" else model_config_pb2.TYPE_FP32
    assert {tensor.data_type for tensor in model.input} == {kind}
    assert {tensor.data_type for tensor in model.output} == {model_config_pb2.TYPE_FP32}


@pytest.mark.parametrize("part", GRAPHS)
def test_the_warm_up_feeds_every_input_with_a_full_shape(
    tiny_models: Path, out: Path, part: str
) -> None:
    render(Repository(tiny_models), out)
    model = config(out, f"tiny-{part}")
    (warmup,) = model.model_warmup
    assert warmup.batch_size == (1 if model.max_batch_size else 0)
    for tensor in model.input:
        given = warmup.inputs[tensor.name]
        assert given.data_type == tensor.data_type
        assert len(given.dims) == len(tensor.dims)
        assert all(
            size > 0 and axis in (-1, size)
            for size, axis in zip(given.dims, tensor.dims, strict=True)
        )


@pytest.mark.parametrize(("task", "parts"), ENSEMBLES.items())
def test_an_ensemble_joins_what_fits(
    tiny_models: Path, out: Path, task: str, parts: tuple[str, ...]
) -> None:
    render(Repository(tiny_models), out)
    model = config(out, f"tiny-{task}")
    steps = model.ensemble_scheduling.step
    assert [(step.model_name, step.model_version) for step in steps] == [
        (f"tiny-{part}", 1) for part in parts
    ]
    known = whole(model, model.input)
    for step in steps:
        graph = config(out, step.model_name)
        inputs, outputs = whole(graph, graph.input), whole(graph, graph.output)
        assert set(step.input_map) == set(inputs)
        for inner, outer in step.input_map.items():
            assert known[outer] == inputs[inner]
        for inner, outer in step.output_map.items():
            assert outer not in known
            known[outer] = outputs[inner]
    assert {name: known[name] for name in dims(model.output)} == whole(model, model.output)


@pytest.mark.parametrize("task", TASKS)
def test_features_never_cross_the_wire(tiny_models: Path, out: Path, task: str) -> None:
    render(Repository(tiny_models), out)
    model = config(out, f"tiny-{task}")
    sent, got = set(dims(model.input)), set(dims(model.output))
    tokens = {"input_ids", "attention_mask"} if task.startswith("ground") else set()
    assert sent == {"image"} | tokens
    assert got <= {"logits", "distances", "presence"}


def test_one_ensemble_gives_every_answer_by_head(tiny_models: Path, out: Path) -> None:
    render(Repository(tiny_models), out)
    model = config(out, "tiny-analyze")
    assert set(dims(model.input)) == {"image", "input_ids", "attention_mask"}
    expected = {
        f"{head}.{tensor}" for head in HEADS for tensor in dims(config(out, f"tiny-{head}").output)
    }
    assert set(dims(model.output)) == expected


def test_the_ensemble_of_a_version_reads_phrase_features_and_gives_vectors_and_answers(
    tiny_models: Path, out: Path
) -> None:
    render(Repository(tiny_models), out)
    model = config(out, "tiny-v1")
    assert set(dims(model.input)) == {"image", "phrase_features"}
    features = {name for name in dims(model.output) if name.startswith("trunk.")}
    assert features == {"trunk.global_embedding", "trunk.global_features"}
    answers = set(dims(model.output)) - features
    assert answers == set(dims(config(out, "tiny-analyze").output))


def test_rendering_again_touches_nothing(tiny_models: Path, out: Path) -> None:
    render(Repository(tiny_models), out)
    before = state(out)
    render(Repository(tiny_models), out)
    assert state(out) == before


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


def test_an_alias_that_moved_takes_the_old_version_away(own: Path, out: Path) -> None:
    render(Repository(own), out)
    tiny_version.publish(own)
    render(Repository(own), out)
    for name in ("tiny-trunk", "tiny-classify"):
        assert sorted(path.name for path in (out / name).iterdir()) == ["2", "config.pbtxt"]


def versions_of(out: Path, name: str) -> list[str]:
    return sorted(path.name for path in (out / name).iterdir() if path.is_dir())


def test_versions_in_use_and_where_a_roll_back_goes_are_kept_when_asked(
    own: Path, out: Path
) -> None:
    tiny_version.publish(own)
    tiny_version.publish(own)
    render(Repository(own), out, "tiny", keep=[1])
    assert versions_of(out, "tiny-trunk") == ["1", "3"]
    render(Repository(own), out, "tiny", previous=True)
    assert versions_of(out, "tiny-trunk") == ["2", "3"]
    assert {"tiny-v2", "tiny-v3"} <= {path.name for path in out.iterdir()}


def test_a_former_version_that_no_longer_holds_is_left_out(own: Path, out: Path) -> None:
    tiny_version.publish(own)
    (own / "tiny" / "1" / "trunk.onnx").write_bytes(b"another graph")
    render(Repository(own), out, previous=True)
    assert versions_of(out, "tiny-trunk") == ["2"]


def test_a_former_version_with_other_tensors_is_left_out(own: Path, out: Path) -> None:
    stage, build = _with_wider_features(own)
    Repository(own).publish("tiny", stage, build, alias="stable")
    render(Repository(own), out, previous=True)
    assert versions_of(out, "tiny-trunk") == ["2"]


def test_a_graph_that_stays_keeps_its_time_when_a_version_is_added(own: Path, out: Path) -> None:
    render(Repository(own), out)
    there = [out / "tiny-trunk" / "1", out / "tiny-trunk" / "1" / "model.onnx"]
    before = [path.stat().st_mtime_ns for path in there]
    tiny_version.publish(own, alias="canary")
    render(Repository(own), out)
    assert versions_of(out, "tiny-trunk") == ["1", "2"]
    assert [path.stat().st_mtime_ns for path in there] == before


def test_following_renders_what_is_published_and_what_moves(own: Path, out: Path) -> None:
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


def test_what_is_gone_goes_from_the_view_and_others_stay(own: Path, out: Path) -> None:
    tiny_version.publish(own, name="other")
    render(Repository(own), out)
    (out / "theirs").mkdir()
    (out / "theirs" / "config.pbtxt").write_text('name: "theirs"\n')
    (out / ".g2d-rendering" / "half").mkdir(parents=True)
    shutil.rmtree(own / "other")
    names = render(Repository(own), out)
    assert sorted(path.name for path in out.iterdir()) == sorted([*names, "theirs"])


def test_one_model_is_rendered_and_the_rest_is_left(own: Path, out: Path) -> None:
    tiny_version.publish(own, name="other")
    render(Repository(own), out, "other")
    assert all(path.name.startswith("other-") for path in out.iterdir())
    render(Repository(own), out, "tiny")
    assert {path.name.partition("-")[0] for path in out.iterdir()} == {"other", "tiny"}


@pytest.mark.parametrize("kind", ["folder", "link", "file"])
def test_a_model_of_others_is_not_overwritten(tiny_models: Path, out: Path, kind: str) -> None:
    out.mkdir()
    place = out / "tiny-trunk"
    if kind == "folder":
        place.mkdir()
    elif kind == "link":
        place.symlink_to("/nowhere")
    else:
        place.write_text("theirs")
    with pytest.raises(PublishRefused, match="of another model"):
        render(Repository(tiny_models), out)
    assert list(out.iterdir()) == [place]


def test_a_damaged_version_changes_nothing(own: Path, out: Path) -> None:
    render(Repository(own), out)
    before = state(out)
    (own / "tiny" / "1" / "trunk.onnx").write_bytes(b"another graph")
    with pytest.raises(InvalidVersion, match=r"tiny/1: trunk\.onnx"):
        render(Repository(own), out)
    assert state(out) == before


def test_a_graph_that_changes_after_it_was_verified_is_not_rendered(
    own: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Repository, "verify", lambda *_: None)
    (own / "tiny" / "1" / "trunk.onnx").write_bytes(b"another graph")
    with pytest.raises(InvalidVersion, match="changed while it was copied"):
        render(Repository(own), out)
    assert list(out.iterdir()) == []


def test_versions_with_other_tensors_are_not_put_under_one_configuration(
    own: Path, out: Path
) -> None:
    stage, build = _with_wider_features(own)
    Repository(own).publish("tiny", stage, build, alias="canary")
    with pytest.raises(InvalidVersion, match="versions 1 and 2 have other tensors"):
        render(Repository(own), out)


def _with_wider_features(own: Path) -> tuple[Path, Callable[[int], ModelManifest]]:
    """A second version whose golden file shows other features; the files are not replayed."""
    stage = tiny_version.copy(own / "tiny" / "1", own.parent / "stage")
    (stage / "manifest.json").unlink()
    shapes = dict(read_arrays(stage / "golden.npz"))
    shapes["trunk.global_features"] = shapes["trunk.global_features"].repeat(2, axis=1)
    np.savez(stage / "golden.npz", **shapes)  # type: ignore[arg-type] # numpy's stub
    digests = digest_files(stage)
    return stage, lambda number: tiny_version.manifest("tiny", number, digests, 1e-4)


@pytest.mark.parametrize("name", ["../../escape", "a/b", "nul\0", "trunk", "text", "x" * 300])
def test_a_head_cannot_choose_where_it_is_written(
    own: Path, out: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Repository(own).load_manifest("tiny", 1)
    heads = {name: manifest.heads["findings"]}
    changed = manifest.model_copy(update={"heads": heads})
    monkeypatch.setattr(Repository, "load_manifest", lambda *_: changed)
    shapes = read_arrays(own / "tiny" / "1" / "golden.npz")
    shapes[f"{name}.logits"] = shapes["findings.logits"]
    monkeypatch.setattr(repository_view, "read_arrays", lambda _: shapes)
    with pytest.raises(InvalidVersion, match=r"not a name|must not be called"):
        render(Repository(own), out)
    assert not out.exists()


def test_two_triton_models_of_one_name_are_refused(
    own: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (own / "tiny" / "1" / "manifest.json").read_text()
    changed = ModelManifest.from_json(text.replace('"findings"', '"classify"'))
    monkeypatch.setattr(Repository, "load_manifest", lambda *_: changed)
    shapes = read_arrays(own / "tiny" / "1" / "golden.npz")
    shapes["classify.logits"] = shapes["findings.logits"]
    monkeypatch.setattr(repository_view, "read_arrays", lambda _: shapes)
    with pytest.raises(InvalidVersion, match="two Triton models would be called tiny-classify"):
        render(Repository(own), out)


def test_golden_outputs_without_a_shape_are_named(
    own: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = read_arrays(own / "tiny" / "1" / "golden.npz")
    del shapes["trunk.decoder_4"]
    monkeypatch.setattr(repository_view, "read_arrays", lambda _: shapes)
    with pytest.raises(InvalidVersion, match=r"tiny/1: .*`trunk\.decoder_4` is missing"):
        render(Repository(own), out)


def test_the_view_is_not_written_into_the_repository(own: Path) -> None:
    with pytest.raises(PublishRefused, match="must not lie in"):
        render(Repository(own), own / "tiny" / "triton")


def test_nothing_to_render_is_said(tmp_path: Path, own: Path, out: Path) -> None:
    with pytest.raises(ModelNotFound):
        render(Repository(tmp_path / "empty"), out)
    with pytest.raises(ModelNotFound):
        render(Repository(own), out, "nobody")
    assert not out.exists()


def test_the_command_renders_and_lists_what_it_rendered(tiny_models: Path, out: Path) -> None:
    arguments = ["models", "triton", "--out", str(out), "--name", "tiny"]
    result = CliRunner().invoke(app, arguments, env={"G2D_MODELS_DIR": str(tiny_models)})
    assert result.exit_code == 0
    assert result.stdout.split() == sorted(path.name for path in out.iterdir())
