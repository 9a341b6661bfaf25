"""Heads of the tiny version that pass every check of files, but must not be loaded in a service."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def loop_for_ever(stage: Path) -> None:
    """Give the `findings` head a loop whose condition stays true, and that returns its input."""
    carried = helper.make_tensor_value_info("carried", TensorProto.FLOAT, None)
    going_on = helper.make_tensor_value_info("going_on", TensorProto.BOOL, [])
    turn = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going_on"], ["still"]),
            helper.make_node("Identity", ["carried"], ["next"]),
        ],
        "body",
        [turn, going_on, carried],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    path = stage / "heads/findings.onnx"
    model = onnx.load(path)
    model.graph.output[0].name = "looped"
    model.graph.node.append(helper.make_node("Loop", ["", "true", "logits"], ["looped"], body=body))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "true"))
    _rename_output(model)
    onnx.save(model, path)


def fill_memory(stage: Path) -> None:
    """Give the `findings` head a constant of 1.6 GB, which its file of a few bytes describes."""
    path = stage / "heads/findings.onnx"
    model = onnx.load(path)
    size = numpy_helper.from_array(np.array([400_000_000], np.int64), "size")
    model.graph.initializer.append(size)
    model.graph.node.extend(
        [
            helper.make_node("ConstantOfShape", ["size"], ["huge"]),
            helper.make_node("ReduceSum", ["huge"], ["nothing"], keepdims=0),
            helper.make_node("Add", ["logits", "nothing"], ["looped"]),
        ]
    )
    _rename_output(model)
    onnx.save(model, path)


def _rename_output(model: onnx.ModelProto) -> None:
    """Call the result of the graph `logits`, and the value before it `raw`."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = {"logits": "raw", "looped": "logits"}.get(name, name)
    model.graph.output[0].name = "logits"
