"""A trunk that is cut into stages answers as the whole does, and runs only what is asked for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from radiograph.repository.repository import Repository
from service.backends.graph_stages import cut, needed
from service.backends.ort import DeviceArray, OrtBackend, Sessions
from service.backends.ort_options import OrtOptions
from service.errors import BackendFailure

FLOATS = TensorProto.FLOAT


def save(path: Path, nodes: list[onnx.NodeProto], outputs: list[str]) -> Path:
    """A graph from `image` (2 numbers) to outputs of the same shape; `two` is 2."""
    graph = helper.make_graph(
        nodes,
        "trunk",
        [helper.make_tensor_value_info("image", FLOATS, [2])],
        [helper.make_tensor_value_info(name, FLOATS, [2]) for name in outputs],
        [helper.make_tensor("two", FLOATS, [1], [2.0])],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def node(operator: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(), [output], **attributes)


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """image -> *2 = skip -> +image = first; skip * first = last; -skip = side."""
    nodes = [
        node("Mul", "image two", "skip"),
        node("Add", "skip image", "first"),
        node("Mul", "skip first", "last"),
        node("Neg", "skip", "side"),
    ]
    return save(tmp_path / "trunk.onnx", nodes, ["last", "side", "first"])


def sessions_of(parts: list[bytes]) -> list[onnxruntime.InferenceSession]:
    return [onnxruntime.InferenceSession(part) for part in parts]


def names(items: list[onnxruntime.NodeArg]) -> set[str]:
    return {item.name for item in items}


def test_each_operator_is_in_one_stage_and_the_borders_are_what_later_stages_read(
    chain: Path,
) -> None:
    parts = cut(chain)
    assert parts is not None
    operators = [sorted(n.op_type for n in onnx.load_from_string(p).graph.node) for p in parts]
    assert operators == [["Mul", "Neg"], ["Add"], ["Mul"]]
    stages = sessions_of(parts)
    assert [names(stage.get_inputs()) for stage in stages] == [
        {"image"},
        {"image", "skip"},
        {"skip", "first"},
    ]
    assert [names(stage.get_outputs()) for stage in stages] == [
        {"skip", "side"},
        {"first"},
        {"last"},
    ]


def test_the_stages_together_give_what_the_whole_gives(chain: Path) -> None:
    values = {"image": np.array([3.0, -1.0], np.float32)}
    for stage in sessions_of(cut(chain) or []):
        made = [item.name for item in stage.get_outputs()]
        feeds = {item.name: values[item.name] for item in stage.get_inputs()}
        values |= dict(zip(made, stage.run(made, feeds), strict=True))
    assert values["first"].tolist() == [9.0, -3.0]
    assert values["last"].tolist() == [54.0, 6.0]
    assert values["side"].tolist() == [-6.0, 2.0]


@pytest.mark.parametrize(
    ("asked", "run"),
    [({"side"}, [0]), ({"first"}, [0, 1]), ({"last"}, [0, 1, 2]), ({"side", "first"}, [0, 1])],
)
def test_only_the_stages_that_an_output_needs_are_run(asked: set[str], run: list[int]) -> None:
    stages = [({"image"}, {"skip", "side"}), ({"skip"}, {"first"}), ({"first"}, {"last"})]
    assert needed(asked, stages) == run


def test_a_graph_with_a_branch_stays_whole(tmp_path: Path) -> None:
    def branch(name: str, operator: str) -> onnx.GraphProto:
        made = helper.make_tensor_value_info(name, FLOATS, [2])
        return helper.make_graph([node(operator, "first", name)], name, [], [made])

    nodes = [
        node("Neg", "image", "first"),
        node("ReduceSum", "image", "sum", keepdims=0),
        node("Cast", "sum", "any", to=TensorProto.BOOL),
        node("If", "any", "last", then_branch=branch("a", "Abs"), else_branch=branch("b", "Neg")),
    ]
    assert cut(save(tmp_path / "trunk.onnx", nodes, ["first", "last"])) is None


def test_a_graph_of_one_output_stays_whole(tmp_path: Path) -> None:
    assert cut(save(tmp_path / "trunk.onnx", [node("Neg", "image", "first")], ["first"])) is None


def test_what_is_no_graph_is_left_to_the_runtime(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "trunk.onnx"
    path.write_bytes(b"\x08\x07 no graph")
    assert cut(path) is None
    assert "trunk.onnx runs as a whole" in caplog.text


@pytest.fixture
def backend(tiny_models: Path) -> Iterator[OrtBackend]:
    yield from made(tiny_models, OrtOptions())


@pytest.fixture
def bound(tiny_models: Path) -> Iterator[OrtBackend]:
    """Features stay with the runtime, as on a GPU."""
    yield from made(tiny_models, OrtOptions(bound=True))


def made(models: Path, options: OrtOptions) -> Iterator[OrtBackend]:
    repository = Repository(models)
    folder, manifest = repository.folder("tiny", 1), repository.load_manifest("tiny", 1)
    backend = OrtBackend(folder, manifest, Sessions(options))
    yield backend
    backend.close()


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.5, (3, 1, 64, 64)).astype(np.float32)


def test_the_trunk_runs_as_far_as_it_is_asked_to(backend: OrtBackend, image: np.ndarray) -> None:
    every = backend.trunk(image)
    assert len(every) == 4
    first = backend.trunk(image, ["decoder_4"])
    assert list(first) == ["decoder_4"]
    assert np.array_equal(first["decoder_4"], every["decoder_4"])


def test_bound_features_stay_with_the_runtime_until_they_are_looked_at(
    backend: OrtBackend, bound: OrtBackend, image: np.ndarray
) -> None:
    expected, features = backend.trunk(image), bound.trunk(image)
    assert all(isinstance(value, DeviceArray) for value in features.values())
    for name, value in expected.items():
        assert np.array_equal(features[name], value)
        assert np.array_equal(features[name][[2, 0]], value[[2, 0]])


def test_bound_heads_answer_the_same(
    backend: OrtBackend, bound: OrtBackend, image: np.ndarray
) -> None:
    names = ["findings", "anatomy", "boxes"]
    expected, answers = backend.answers(image, names), bound.answers(image, names)
    for name in names:
        for output, value in expected.heads[name].items():
            assert np.array_equal(answers.heads[name][output], value)


def test_a_bound_graph_that_cannot_take_its_input_is_a_failure_of_the_backend(
    bound: OrtBackend,
) -> None:
    with pytest.raises(BackendFailure):
        bound.trunk(np.zeros((1, 2, 64, 64), np.float32))


def test_rows_of_a_mixed_batch_get_what_they_would_get_alone(
    backend: OrtBackend, bound: OrtBackend, image: np.ndarray
) -> None:
    features = bound.trunk(image)
    rows = {"decoder_4": features["decoder_4"][[1]]}
    expected = backend.answers(image[1:2], ["anatomy"]).heads["anatomy"]["logits"]
    assert np.allclose(bound.head("anatomy", rows)["logits"], expected)
