"""Parts of a trunk that are quantised together or not at all, by the modules of its operators.

operators of one module -> part; an activation belongs to its convolution, and what has no
convolution (a resize before it, a concatenation) to the part that reads it
"""

from collections.abc import Mapping
from dataclasses import dataclass

import onnx
from onnx import NodeProto

_DEPTH = 2
"""Levels of modules by which operators belong to a part: `encoder/blocks.3`, `blocks.3/conv2`."""
_ACTIVATIONS = ("Clip", "Relu")
ALWAYS_FLOAT = "attnpool"
"""Module that is no part: it is small, and its softmax needs exact inputs."""


@dataclass(frozen=True)
class Part:
    """Operators of one module of the trunk, its activations included.

    Attributes:
        name: name of the module.
        operators: names of its operators.
        work: multiplications of its convolutions for one image.
    """

    name: str
    operators: frozenset[str]
    work: float


def parts_of(
    model: onnx.ModelProto, operators: tuple[str, ...], work: Mapping[str, float]
) -> list[Part]:
    """Return the parts of a trunk; each has a convolution.

    Args:
        model: graph whose operators are named by their modules, as the exporter of PyTorch does.
        operators: kinds of operators that can be quantised; others are in no part.
        work: multiplications of each convolution for one image.
    """
    nodes = [
        node
        for node in model.graph.node
        if node.op_type in operators and ALWAYS_FLOAT not in _modules(node)
    ]
    named = _names(nodes)
    grouped: dict[str, list[NodeProto]] = {}
    for node in nodes:
        grouped.setdefault(named[node.name], []).append(node)
    parts = [
        Part(
            name,
            frozenset(node.name for node in group),
            sum(work.get(node.name, 0.0) for node in group),
        )
        for name, group in grouped.items()
    ]
    return [part for part in parts if part.work]


def _names(nodes: list[NodeProto]) -> dict[str, str]:
    """Return the name of the part of each operator; the operators are in topological order."""
    named: dict[str, str] = {}
    maker: dict[str, NodeProto] = {}
    for node in nodes:
        above = maker.get(node.input[0])
        activates = node.op_type in _ACTIVATIONS and above is not None
        named[node.name] = named[above.name] if activates and above else _module(node)
        maker.update(dict.fromkeys(node.output, node))
    convolves = {named[node.name] for node in nodes if node.op_type == "Conv"}
    reader: dict[str, str] = {}
    for node in reversed(nodes):
        if named[node.name] not in convolves:
            read = (reader[output] for output in node.output if output in reader)
            named[node.name] = next(read, named[node.name])
        reader.update(dict.fromkeys(node.input, named[node.name]))
    return named


def _module(node: NodeProto) -> str:
    return "/".join(_modules(node)[:_DEPTH])


def _modules(node: NodeProto) -> list[str]:
    """Return the modules of an operator, the outermost first, from its name in the export."""
    return node.name.strip("/").split("/")[:-1] or [node.name]
