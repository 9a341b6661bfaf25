"""A trunk that is cut into stages gives the outputs of the whole, and runs only needed stages."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from service.backends.ort.graph_stages import cut_into_stages, needed_stages

FLOATS = TensorProto.FLOAT


def save(path: Path, nodes: list[onnx.NodeProto], outputs: list[str]) -> Path:
    """Save a graph from `image` (2 numbers) to outputs of the same shape; the weight `two` is 2."""
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


def sessions_of(models: list[bytes]) -> list[onnxruntime.InferenceSession]:
    return [onnxruntime.InferenceSession(model) for model in models]


def names(items: list[onnxruntime.NodeArg]) -> set[str]:
    return {item.name for item in items}


def test_each_operator_is_in_one_stage_and_stages_pass_on_only_what_others_read(
    chain: Path,
) -> None:
    models = cut_into_stages(chain)
    assert models is not None
    operators = [
        sorted(n.op_type for n in onnx.load_from_string(model).graph.node) for model in models
    ]
    assert operators == [["Mul", "Neg"], ["Add"], ["Mul"]]
    stages = sessions_of(models)
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


def test_the_stages_together_compute_what_the_whole_computes(chain: Path) -> None:
    values = {"image": np.array([3.0, -1.0], np.float32)}
    for stage in sessions_of(cut_into_stages(chain) or []):
        made = [item.name for item in stage.get_outputs()]
        feeds = {item.name: values[item.name] for item in stage.get_inputs()}
        values |= dict(zip(made, stage.run(made, feeds), strict=True))
    assert values["first"].tolist() == [9.0, -3.0]
    assert values["last"].tolist() == [54.0, 6.0]
    assert values["side"].tolist() == [-6.0, 2.0]


@pytest.mark.parametrize(
    ("requested", "run"),
    [({"side"}, [0]), ({"first"}, [0, 1]), ({"last"}, [0, 1, 2]), ({"side", "first"}, [0, 1])],
)
def test_only_the_stages_that_an_output_needs_are_run(requested: set[str], run: list[int]) -> None:
    stages = [({"image"}, {"skip", "side"}), ({"skip"}, {"first"}), ({"first"}, {"last"})]
    assert needed_stages(requested, stages) == run


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
    assert cut_into_stages(save(tmp_path / "trunk.onnx", nodes, ["first", "last"])) is None


def test_a_graph_of_one_output_stays_whole(tmp_path: Path) -> None:
    assert (
        cut_into_stages(save(tmp_path / "trunk.onnx", [node("Neg", "image", "first")], ["first"]))
        is None
    )


def test_a_file_that_is_no_graph_is_left_to_the_runtime(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "trunk.onnx"
    path.write_bytes(b"\x08\x07 no graph")
    assert cut_into_stages(path) is None
    assert "trunk.onnx runs as a whole" in caplog.text
