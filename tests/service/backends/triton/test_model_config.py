"""Configurations describe every graph and ensemble in Triton's own terms."""

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from tritonclient.grpc import model_config_pb2

from radiograph.manifest import HeadSpec
from radiograph.preprocess import PreprocessSpec
from radiograph.repository.repository import Repository
from service.backends.triton.repository_view import render
from tests.builders.triton.triton_repository import config

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


def dims(tensors: Any) -> dict[str, list[int]]:
    return {tensor.name: list(tensor.dims) for tensor in tensors}


def whole(model: Any, tensors: Any) -> dict[str, list[int]]:
    """Return dimensions with the batch axis that Triton omits."""
    batch = [-1] if model.max_batch_size else []
    return {name: batch + shape for name, shape in dims(tensors).items()}


def graph_dims(values: Any) -> dict[str, list[int]]:
    return {
        value.name: [axis.dim_value or -1 for axis in value.type.tensor_type.shape.dim]
        for value in values
    }


def test_every_graph_and_every_task_is_a_triton_model(tiny_models: Path, out: Path) -> None:
    names = render(Repository(tiny_models), out)
    assert names == sorted(f"tiny-{part}" for part in [*GRAPHS, *ENSEMBLES])
    assert sorted(path.name for path in out.iterdir()) == names
    for part in ENSEMBLES:
        inside = {path.name for path in (out / f"tiny-{part}").iterdir()}
        labels = {"findings.labels.txt"} if "findings" in ENSEMBLES[part] else set()
        assert inside == {"config.pbtxt", "1"} | labels


@pytest.mark.parametrize(("part", "file"), GRAPHS.items())
def test_a_graph_is_copied_and_described_with_its_own_tensors(
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
def test_an_ensemble_connects_tensors_of_equal_shape(
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
def test_features_never_cross_the_network(tiny_models: Path, out: Path, task: str) -> None:
    render(Repository(tiny_models), out)
    model = config(out, f"tiny-{task}")
    sent, got = set(dims(model.input)), set(dims(model.output))
    tokens = {"input_ids", "attention_mask"} if task.startswith("ground") else set()
    assert sent == {"image"} | tokens
    assert got <= {"logits", "distances", "presence"}


def test_one_ensemble_gives_the_outputs_of_every_head(tiny_models: Path, out: Path) -> None:
    render(Repository(tiny_models), out)
    model = config(out, "tiny-analyze")
    assert set(dims(model.input)) == {"image", "input_ids", "attention_mask"}
    expected = {
        f"{head}.{tensor}" for head in HEADS for tensor in dims(config(out, f"tiny-{head}").output)
    }
    assert set(dims(model.output)) == expected


def test_the_ensemble_of_a_version_gives_vectors_and_head_outputs(
    tiny_models: Path, out: Path
) -> None:
    render(Repository(tiny_models), out)
    model = config(out, "tiny-v1")
    assert set(dims(model.input)) == {"image", "phrase_features"}
    features = {name for name in dims(model.output) if name.startswith("trunk.")}
    assert features == {"trunk.global_embedding", "trunk.global_features"}
    answers = set(dims(model.output)) - features
    assert answers == set(dims(config(out, "tiny-analyze").output))


def test_an_ensemble_has_the_entries_of_its_heads_in_the_manifest(
    tiny_models: Path, out: Path
) -> None:
    repository = Repository(tiny_models)
    render(repository, out)
    manifest = repository.load_manifest("tiny", 1)
    values = {
        key: value.string_value for key, value in config(out, "tiny-analyze").parameters.items()
    }
    assert (values["model"], values["version"]) == ("tiny", "1")
    assert values["digest"] == repository.digest("tiny", 1)
    assert PreprocessSpec.model_validate_json(values["preprocess"]) == manifest.preprocess
    for head, spec in manifest.heads.items():
        entry = json.loads(values[f"head.{head}"])
        assert HeadSpec.model_validate({**entry, "file": spec.file}) == spec
    single = config(out, "tiny-classify").parameters
    assert [key for key in single if key.startswith("head.")] == ["head.findings"]


def test_an_output_of_classification_names_the_file_of_its_labels(
    tiny_models: Path, out: Path
) -> None:
    render(Repository(tiny_models), out)
    (logits,) = config(out, "tiny-classify").output
    assert logits.label_filename == "findings.labels.txt"
    text = (out / "tiny-classify" / logits.label_filename).read_text()
    assert text == "Lung opacity\nNo finding\n"
    assert [item.label_filename for item in config(out, "tiny-segment").output] == [""]
