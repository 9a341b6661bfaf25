"""Compression of the weights of an ONNX graph without a change of its results.

Large float32 weights become float16 followed by a Cast, and the word-embedding table becomes int8
rows followed by a Gather, a Cast and a scale. The runtime folds the Casts of weights when it
loads the graph, so that it computes in float32 as before. Weights that were rounded beforehand
(`training.evaluation.weight_rounding`) are stored exactly.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from training.evaluation.weight_rounding import STORED_AS_HALF, to_int8_rows

HALF, ROWS, SCALE = ".half", ".rows", ".scale"
"""Suffixes of the names of compressed tensors: float16; int8 rows and the scale of each row."""


def compress_weights(model: onnx.ModelProto, embedding_rows: int | None = None) -> onnx.ModelProto:
    """Compress the weights of a graph in place, and return it.

    Args:
        model: graph with its weights inside, not in external files.
        embedding_rows: number of rows of the table to store as int8; None if there is no table.

    Raises:
        ValueError: the table is read by anything but a single Gather.
    """
    graph = model.graph
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if embedding_rows is not None and values.ndim == 2 and len(values) == embedding_rows:
            _store_rows(graph, tensor, values)
        elif values.size >= STORED_AS_HALF:
            _store_half(graph, tensor, values)
    return model


def _store_half(graph: onnx.GraphProto, tensor: onnx.TensorProto, values: np.ndarray) -> None:
    """Replace a float32 weight by a float16 weight and a Cast."""
    name, half = tensor.name, f"{tensor.name}{HALF}"
    graph.initializer.remove(tensor)
    graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), half))
    graph.node.insert(0, helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))


def _store_rows(graph: onnx.GraphProto, tensor: onnx.TensorProto, values: np.ndarray) -> None:
    """Replace `Gather(table, ids)` by a Gather of int8 rows times a Gather of their scales.

    Raises:
        ValueError: the table is read by anything but a single Gather.
    """
    readers = [node for node in graph.node if tensor.name in node.input]
    if len(readers) != 1 or readers[0].op_type != "Gather":
        raise ValueError(f"{tensor.name} is not read by one Gather")
    gather = readers[0]
    rows, scale = to_int8_rows(values)
    name = tensor.name
    graph.initializer.remove(tensor)
    graph.initializer.append(numpy_helper.from_array(rows, f"{name}{ROWS}"))
    graph.initializer.append(numpy_helper.from_array(scale, f"{name}{SCALE}"))
    ids, output = gather.input[1], gather.output[0]
    position = list(graph.node).index(gather)  # nodes must stay in topological order
    graph.node.remove(gather)
    nodes = [
        helper.make_node("Gather", [f"{name}{ROWS}", ids], [f"{output}.rows"]),
        helper.make_node("Gather", [f"{name}{SCALE}", ids], [f"{output}.scale"]),
        helper.make_node("Cast", [f"{output}.rows"], [f"{output}.cast"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{output}.cast", f"{output}.scale"], [output]),
    ]
    for offset, node in enumerate(nodes):
        graph.node.insert(position + offset, node)
