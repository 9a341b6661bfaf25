"""A compressed graph computes the same results."""

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from training.evaluation.weight_rounding import to_int8_rows
from training.export.weight_compression import compress_weights

ROWS = 50
IDS = np.array([[0, 7, 49]], dtype=np.int64)


def _exact_table() -> NDArray[np.float32]:
    rows, scale = to_int8_rows(np.random.default_rng(0).normal(size=(ROWS, 32)).astype(np.float32))
    return rows.astype(np.float32) * scale


def _graph(readers: int = 1) -> onnx.ModelProto:
    """ids -> Gather(table) -> MatMul(weight) -> y; further readers of the table beside it."""
    half = np.random.default_rng(1).normal(size=(32, 40)).astype(np.float16)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weight"], ["y"]),
        *(helper.make_node("Gather", ["table", "ids"], [f"r{i}"]) for i in range(1, readers)),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 40])],
        [
            numpy_helper.from_array(_exact_table(), "table"),
            numpy_helper.from_array(half.astype(np.float32), "weight"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _answer(model: onnx.ModelProto) -> NDArray[np.float32]:
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    answer: NDArray[np.float32] = session.run(["y"], {"ids": IDS})[0]
    return answer


def test_a_compressed_graph_gives_the_same_results_and_is_smaller() -> None:
    before, after = _graph(), compress_weights(_graph(), ROWS)
    np.testing.assert_allclose(_answer(after), _answer(before), rtol=0, atol=1e-6)
    assert after.ByteSize() < 0.6 * before.ByteSize()
    types = {tensor.name: tensor.data_type for tensor in after.graph.initializer}
    assert types["table.rows"] == TensorProto.INT8
    assert types["weight.half"] == TensorProto.FLOAT16


def test_small_weights_stay_as_they_are() -> None:
    model = _graph()
    model.graph.initializer[1].CopyFrom(
        numpy_helper.from_array(np.ones((32, 4), dtype=np.float32), "weight")
    )
    names = [tensor.name for tensor in compress_weights(model, ROWS).graph.initializer]
    assert "weight" in names


def test_a_table_with_two_readers_is_refused() -> None:
    with pytest.raises(ValueError, match="one Gather"):
        compress_weights(_graph(readers=2), ROWS)
