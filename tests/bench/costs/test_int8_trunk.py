"""Trunks in several precisions are timed in turns, so that each sees the same machine."""

import numpy as np
from onnx import TensorProto, helper

from bench.costs.int8_trunk import in_turns


def _graph(kind: str) -> bytes:
    """Return a graph with one operator on an image."""
    shape = [1, 1, 8, 8]
    node = helper.make_node(kind, ["image"], ["out"])
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("image", "out")]
    graph = helper.make_graph([node], "trunk", ends[:1], ends[1:])
    opset = [helper.make_opsetid("", 18)]
    serialised: bytes = helper.make_model(
        graph, opset_imports=opset, ir_version=10
    ).SerializeToString()
    return serialised


def test_every_graph_runs_once_in_each_round() -> None:
    image = np.zeros((1, 1, 8, 8), dtype=np.float32)
    taken = in_turns({"float32": _graph("Relu"), "other": _graph("Abs")}, image, 1, rounds=5)
    assert {name: len(times) for name, times in taken.items()} == {"float32": 5, "other": 5}
    assert all(time > 0 for times in taken.values() for time in times)
