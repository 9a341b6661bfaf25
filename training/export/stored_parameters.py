"""Which tensors of a graph hold which parameters of the module that it was traced from.

    module + graph --record--> metadata of the graph --read--> parameters

The exporter drops the names of matrices, which it transposes, and of what a module cuts out of a
parameter, and keeps only one of several tensors that are equal. What has lost its name is found by
its values when the graph is written, and named in the metadata of the graph.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn

from training.export.weight_compression import HALF, ROWS, SCALE

KEY = "g2d.parameters"
"""Key of the metadata: parameter -> [names of the tensors, whether they are transposed]. The
parameter is made of the tensors one after the other along its first axis."""

_MOST_PIECES = 4
UNNAMED = "onnx::"
"""Prefix of the names of tensors that lost that of their parameter."""
_Array = NDArray[Any]


def record_parameters(graph: onnx.ModelProto, module: nn.Module) -> None:
    """Name the parameters and buffers of a module that the graph does not store by name.

    Those that it does not store at all are left out.

    Args:
        graph: graph with uncompressed weights, as the exporter wrote it.
        module: module that it was traced from.
    """
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    by_values = {_key(values): name for name, values in tensors.items()}
    found = {}
    for name, value in module.state_dict().items():
        if name not in tensors and (pieces := _pieces(value.cpu().numpy(), by_values)):
            found[name] = pieces
    entry = graph.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(found)


def read_parameters(path: Path) -> dict[str, Tensor]:
    """Return the parameters that a graph stores, float32, by the names of its module.

    Raises:
        KeyError: the graph does not say what its tensors hold.
    """
    graph = onnx.load(path)
    metadata = {entry.key: entry.value for entry in graph.metadata_props}
    recorded = json.loads(metadata[KEY])
    tensors = stored_tensors(graph)
    found = {name: values for name, values in tensors.items() if not name.startswith(UNNAMED)}
    for name, (pieces, transposed) in recorded.items():
        arrays = [np.atleast_1d(tensors[piece]) for piece in pieces]
        found[name] = np.concatenate([each.T if transposed else each for each in arrays])
    return {name: torch.from_numpy(values.copy()) for name, values in found.items()}


def stored_tensors(graph: onnx.ModelProto) -> dict[str, _Array]:
    """Return the tensors of a graph, float32, by the names that they had before compression."""
    stored = {t.name: numpy_helper.to_array(t) for t in graph.graph.initializer}
    kinds = {t.name: t.data_type for t in graph.graph.initializer}
    tensors = {}
    for name, values in stored.items():
        if name.endswith(ROWS):
            table = name.removesuffix(ROWS)
            tensors[table] = values.astype(np.float32) * stored[f"{table}{SCALE}"]
        elif kinds[name] in (TensorProto.FLOAT, TensorProto.FLOAT16) and not name.endswith(SCALE):
            tensors[name.removesuffix(HALF)] = values.astype(np.float32)
    return tensors


def _pieces(
    values: _Array, by_values: dict[tuple[object, ...], str]
) -> tuple[list[str], bool] | None:
    """Return the tensors that a parameter is made of, and whether they are transposed."""
    for parts in _divided(values):
        for transposed in (False, True):
            keys = [_key(part.T if transposed else part) for part in parts]
            if all(key in by_values for key in keys):
                return [by_values[key] for key in keys], transposed
    return None


def _divided(values: _Array) -> Iterator[list[_Array]]:
    """Yield the whole array, then its first axis in equal parts, then its single numbers."""
    yield [values]
    for count in range(2, _MOST_PIECES + 1):
        if values.ndim and len(values) % count == 0:
            yield np.split(values, count)
    if values.ndim == 1 and len(values) <= _MOST_PIECES:
        yield list(values)


def _key(values: _Array) -> tuple[object, ...]:
    """Return a key that equal arrays share."""
    return values.shape, str(values.dtype), np.ascontiguousarray(values).tobytes()
