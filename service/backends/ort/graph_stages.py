"""Stages: a graph with several outputs, cut so that a run computes only what is requested.

    image -> [encoder] -> [decoder, stride 8] -> [stride 4] -> [stride 1]
                 |             |                     |             |
          global_features   decoder_8            decoder_4     decoder_1

ONNX Runtime computes all outputs of a graph, whichever are requested, and the decoder of a G2D
trunk, which the findings never read, takes two thirds of its time. The outputs are sorted by the
number of operators that they need; a stage holds what its output needs beyond the stages before
it. Every operator is in exactly one stage, so weights are not held twice and the numbers stay the
same.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import onnx
from onnx import AttributeProto, GraphProto
from onnx.utils import Extractor

logger = logging.getLogger("g2d.stages")

Names = Collection[str]


def cut_into_stages(path: Path) -> list[bytes] | None:
    """Return the stages of a graph as ONNX models, in the order in which they run.

    The inputs and outputs of a stage keep the names that they have in the whole graph.

    Returns:
        None if the graph cannot be cut or has one stage only.
    """
    try:
        model = onnx.shape_inference.infer_shapes(onnx.load(path))
        graph = model.graph
        stages = [] if _has_subgraphs(graph) else _stages(graph)
        if len(stages) <= 1:
            return None
        extractor = Extractor(model)
        return [
            extractor.extract_model(inputs, outputs).SerializeToString()
            for inputs, outputs in _borders(graph, stages)
        ]
    except Exception as error:  # noqa: BLE001 - the runtime judges the graph as a whole
        logger.warning("%s runs as a whole: %s", path.name, type(error).__name__)
        return None


def needed_stages(requested: Names, stages: Sequence[tuple[Names, Names]]) -> list[int]:
    """Return the indices of the stages that must run for some outputs, in order.

    Args:
        requested: names of outputs.
        stages: names of the inputs and of the outputs of each stage.
    """
    missing, chosen = set(requested), []
    for index in reversed(range(len(stages))):
        inputs, outputs = stages[index]
        if missing.intersection(outputs):
            chosen.append(index)
            missing.update(inputs)
    return chosen[::-1]


def _has_subgraphs(graph: GraphProto) -> bool:
    """Return whether there are loops or branches, whose bodies read values of the outer graph."""
    bodies = (AttributeProto.GRAPH, AttributeProto.GRAPHS)
    return any(attribute.type in bodies for node in graph.node for attribute in node.attribute)


def _stages(graph: GraphProto) -> list[list[int]]:
    """Return the indices of the nodes of each stage."""
    maker = {name: i for i, node in enumerate(graph.node) for name in node.output}
    needs = [_ancestors(graph, maker, output.name) for output in graph.output]
    done: set[int] = set()
    stages = []
    for need in sorted(needs, key=len):
        if new := need - done:
            stages.append(sorted(new))
            done |= new
    return stages


def _ancestors(graph: GraphProto, maker: dict[str, int], output: str) -> set[int]:
    """Return the nodes that an output depends on, directly or not."""
    found: set[int] = set()
    names = [output]
    while names:
        index = maker.get(names.pop())
        if index is not None and index not in found:
            found.add(index)
            names += graph.node[index].input
    return found


def _borders(graph: GraphProto, stages: list[list[int]]) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the names of the inputs and outputs of each stage."""
    weights = {item.name for item in graph.initializer}
    outputs = {item.name for item in graph.output}
    reads = [{name for i in stage for name in graph.node[i].input if name} for stage in stages]
    for position, stage in enumerate(stages):
        made = {name for i in stage for name in graph.node[i].output}
        read_later = outputs.union(*reads[position + 1 :])
        yield sorted(reads[position] - made - weights), sorted(made & read_later)
