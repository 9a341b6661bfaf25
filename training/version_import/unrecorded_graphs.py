"""Parameters of a graph that was exported before graphs said which parameters they hold.

The names of most tensors are those of the parameters. A matrix that lost its name is told by the
bias that is added to its product; queries, keys and values of the attention, and the elements of
`scale` and `bias` of a grounding head, by their order. Whether that is right, the golden outputs of
the version show.
"""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import NodeProto
from torch import Tensor

from training.export.stored_parameters import UNNAMED, stored_tensors

_ATTENTION = "g2d.attnpool.mhsa.in_proj_"
_Array = NDArray[Any]


def recovered_parameters(path: Path) -> dict[str, Tensor]:
    """Return the parameters of a graph, float32, by the names of its module."""
    graph = onnx.load(path)
    tensors, nodes = stored_tensors(graph), list(graph.graph.node)
    found = {name: values for name, values in tensors.items() if not name.startswith(UNNAMED)}
    attention = []
    for values, bias in _matrices(nodes, tensors):
        if bias.startswith(UNNAMED):
            attention.append((values.T, tensors[bias]))
        else:
            found[f"{bias.removesuffix('bias')}weight"] = values.T
    if attention:
        found[f"{_ATTENTION}weight"] = np.concatenate([values for values, _ in attention])
        found[f"{_ATTENTION}bias"] = np.concatenate([bias for _, bias in attention])
    for name, operation in (("head.scale", "Mul"), ("head.bias", "Add")):
        if elements := list(_scalars(nodes, tensors, operation)):
            found[name] = np.stack(elements)
    return {name: torch.from_numpy(values.copy()) for name, values in found.items()}


def _matrices(nodes: list[NodeProto], tensors: dict[str, _Array]) -> Iterator[tuple[_Array, str]]:
    """Yield each unnamed matrix and the name of the tensor that is added to its product."""
    readers = defaultdict(list)
    for node in nodes:
        for name in node.input:
            readers[name].append(node)
    for node in nodes:
        names = [name for name in node.input if name.startswith(UNNAMED) and name in tensors]
        if node.op_type != "MatMul" or not names:
            continue
        added = [name for reader in readers[node.output[0]] for name in reader.input]
        if bias := next((name for name in added if name in tensors), None):
            yield tensors[names[0]], bias


def _scalars(
    nodes: list[NodeProto], tensors: dict[str, _Array], operation: str
) -> Iterator[_Array]:
    """Yield the unnamed numbers that the nodes of an operation read, in order."""
    for node in nodes:
        for name in node.input:
            unnamed = name.startswith(UNNAMED) and name in tensors
            if node.op_type == operation and unnamed and not tensors[name].ndim:
                yield tensors[name]
