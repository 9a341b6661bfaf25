"""Store an ONNX graph small without changing what it computes.

Large float32 weights become float16 behind a Cast, and the word-embedding table int8 rows
behind a Gather, a Cast and a scale. The runtime folds the Casts of weights when it loads,
so it computes in float32 as before. Weights that were rounded beforehand
(`inference.round_weights`) are stored exactly.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from training.evaluation.weight_rounding import STORED_AS_HALF, to_int8_rows


def compact(model: onnx.ModelProto, embedding_rows: int | None = None) -> onnx.ModelProto:
    """Shrink the weights of a graph, in place.

    Args:
        model: the graph; weights inside, not beside it.
        embedding_rows: number of rows of the table to store as int8, or None.
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
    name, half = tensor.name, f"{tensor.name}.half"
    graph.initializer.remove(tensor)
    graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), half))
    graph.node.insert(0, helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))


def _store_rows(graph: onnx.GraphProto, tensor: onnx.TensorProto, values: np.ndarray) -> None:
    """Replace `Gather(table, ids)` by a Gather of int8 rows times a Gather of their scales.

    Raises:
        ValueError: the table is read otherwise than by one Gather.
    """
    readers = [node for node in graph.node if tensor.name in node.input]
    if len(readers) != 1 or readers[0].op_type != "Gather":
        raise ValueError(f"{tensor.name} is not read by one Gather")
    gather = readers[0]
    rows, scale = to_int8_rows(values)
    name = tensor.name
    graph.initializer.remove(tensor)
    graph.initializer.append(numpy_helper.from_array(rows, f"{name}.rows"))
    graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))
    ids, output = gather.input[1], gather.output[0]
    position = list(graph.node).index(gather)
    graph.node.remove(gather)
    new = [
        helper.make_node("Gather", [f"{name}.rows", ids], [f"{output}.rows"]),
        helper.make_node("Gather", [f"{name}.scale", ids], [f"{output}.scale"]),
        helper.make_node("Cast", [f"{output}.rows"], [f"{output}.cast"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{output}.cast", f"{output}.scale"], [output]),
    ]
    for offset, node in enumerate(new):
        graph.node.insert(position + offset, node)
