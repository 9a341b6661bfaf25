"""A small trunk as an ONNX graph, with names of operators as the exporter of PyTorch gives them.

image 1 x 8 x 8 -> stem, its activation -> block -> resize -> last -> map, and a pool beside it
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from training.metrics.arrays import FloatArray

SIDE = 8


def write(path: Path) -> Path:
    """Write the trunk, and return its path."""
    rng = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["image", "stem"], ["a"], "/encoder/stem/Conv", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], "/encoder/act/Relu"),
        helper.make_node("Conv", ["b", "block"], ["c"], "/encoder/layer/conv/Conv", pads=[1] * 4),
        helper.make_node("Resize", ["c", "", "scales"], ["d"], "/blocks.0/Resize", mode="nearest"),
        helper.make_node("Conv", ["d", "last"], ["map"], "/blocks.0/conv/conv.0/Conv"),
        helper.make_node("Conv", ["c", "pool"], ["pooled"], "/attnpool/Conv"),
    ]
    sizes = [("map", [None, 2, 2 * SIDE, 2 * SIDE]), ("pooled", [None, 1, SIDE, SIDE])]
    graph = helper.make_graph(
        nodes,
        "trunk",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [None, 1, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in sizes],
        [
            weight("stem", 4, 1, 3, 3),
            weight("block", 4, 4, 3, 3),
            weight("last", 2, 4, 1, 1),
            weight("pool", 1, 4, 1, 1),
            numpy_helper.from_array(np.array([1, 1, 2, 2], dtype=np.float32), "scales"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


def images(count: int) -> Sequence[FloatArray]:
    """Return random images, 1 x 8 x 8 each."""
    rng = np.random.default_rng(1)
    return list(rng.uniform(-1, 1, (count, 1, SIDE, SIDE)).astype(np.float32))
