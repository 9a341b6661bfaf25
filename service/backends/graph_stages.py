"""Stages: a graph with several outputs, cut so that a run goes only as far as it is asked to.

    image -> [encoder] -> [decoder, stride 8] -> [stride 4] -> [stride 1]
                 |             |                     |             |
          global_features   decoder_8            decoder_4     decoder_1

ONNX Runtime computes every output of a graph whichever are asked for, and the decoder of a G2D
trunk is two thirds of it, which findings never read. The outputs are taken in the order of what
they need; each stage is what its output needs beyond the stages before it. Every operator is in
one stage exactly, so weights are not held twice and the numbers stay the same.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import onnx
from onnx import AttributeProto, GraphProto
from onnx.utils import Extractor

logger = logging.getLogger("g2d.stages")

Names = Collection[str]


def cut(path: Path) -> list[bytes] | None:
    """The stages of a graph as graphs of their own, in the order in which they run.

    A stage's inputs and outputs have the names that they have in the whole graph.

    Returns:
        None where the graph cannot be cut, or there is nothing to gain.
    """
    try:
        model = onnx.shape_inference.infer_shapes(onnx.load(path))
        graph = model.graph
        parts = [] if _has_bodies(graph) else _parts(graph)
        if len(parts) <= 1:
            return None
        extractor = Extractor(model)
        return [
            extractor.extract_model(inputs, outputs).SerializeToString()
            for inputs, outputs in _borders(graph, parts)
        ]
    except Exception as error:  # noqa: BLE001 - whatever is wrong, the runtime judges the whole
        logger.warning("%s runs as a whole: %s", path.name, type(error).__name__)
        return None


def needed(asked: Collection[str], stages: Sequence[tuple[Names, Names]]) -> list[int]:
    """Which stages must run for some outputs, in order.

    Args:
        asked: names of outputs.
        stages: the names of the inputs and of the outputs of each.
    """
    wanted, chosen = set(asked), []
    for index in reversed(range(len(stages))):
        inputs, outputs = stages[index]
        if wanted.intersection(outputs):
            chosen.append(index)
            wanted.update(inputs)
    return chosen[::-1]


def _has_bodies(graph: GraphProto) -> bool:
    """Whether there are loops or branches, whose bodies may read what is not their input."""
    bodies = (AttributeProto.GRAPH, AttributeProto.GRAPHS)
    return any(attribute.type in bodies for node in graph.node for attribute in node.attribute)


def _parts(graph: GraphProto) -> list[list[int]]:
    """Indices of the nodes of each stage."""
    maker = {name: i for i, node in enumerate(graph.node) for name in node.output}
    needs = [_needs(graph, maker, output.name) for output in graph.output]
    done: set[int] = set()
    parts = []
    for need in sorted(needs, key=len):
        if new := need - done:
            parts.append(sorted(new))
            done |= new
    return parts


def _needs(graph: GraphProto, maker: dict[str, int], output: str) -> set[int]:
    """The nodes that an output is made by, directly or not."""
    found: set[int] = set()
    names = [output]
    while names:
        index = maker.get(names.pop())
        if index is not None and index not in found:
            found.add(index)
            names += graph.node[index].input
    return found


def _borders(graph: GraphProto, parts: list[list[int]]) -> Iterator[tuple[list[str], list[str]]]:
    """Names of the inputs and outputs of each stage."""
    weights = {item.name for item in graph.initializer}
    outputs = {item.name for item in graph.output}
    reads = [{name for i in part for name in graph.node[i].input if name} for part in parts]
    for at, part in enumerate(parts):
        made = {name for i in part for name in graph.node[i].output}
        elsewhere = outputs.union(*reads[at + 1 :])
        yield sorted(reads[at] - made - weights), sorted(made & elsewhere)
