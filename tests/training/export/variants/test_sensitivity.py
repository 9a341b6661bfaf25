"""The parts of a trunk, and the choice of those that stay in float32."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.builders.training.parts import small_trunk
from training.export.variants.quantization import OPERATORS, Quantizer
from training.export.variants.sensitivity import choices, most_costly
from training.export.variants.trunk_parts import Part, parts_of
from training.metrics.arrays import Float64Array


def test_an_activation_belongs_to_its_convolution_and_a_resize_to_its_reader(
    tmp_path: Path,
) -> None:
    quantizer = Quantizer(small_trunk.write(tmp_path / "t.onnx"), small_trunk.images(1), tmp_path)
    parts = {part.name: part for part in parts_of(quantizer.model, OPERATORS, quantizer.work())}
    assert {name: part.operators for name, part in parts.items()} == {
        "encoder/stem": {"/encoder/stem/Conv", "/encoder/act/Relu"},
        "encoder/layer": {"/encoder/layer/conv/Conv"},
        "blocks.0/conv": {"/blocks.0/Resize", "/blocks.0/conv/conv.0/Conv"},
    }  # the attention pool is in none
    assert parts["encoder/stem"].work == 4 * 9 * 64


def _part(name: str, work: float) -> Part:
    return Part(name, frozenset({name}), work)


@pytest.mark.parametrize(
    ("share", "kept"), [(1.0, []), (0.5, ["small"]), (0.25, ["small", "worse"]), (0.0, None)]
)
def test_parts_with_the_most_error_for_their_work_are_kept_first(
    share: float, kept: list[str] | None
) -> None:
    parts = [_part("large", 100.0), _part("worse", 50.0), _part("small", 1.0)]
    found = [part.name for part in most_costly(parts, [0.2, 0.3, 0.5], share)]
    assert found == (["small", "worse", "large"] if kept is None else kept)


def test_the_part_that_spoils_the_answers_stays_in_float32(tmp_path: Path) -> None:
    source = small_trunk.write(tmp_path / "t.onnx")
    quantizer = Quantizer(source, small_trunk.images(4), tmp_path)
    asked: list[onnx.ModelProto] = []

    def errors(graph: onnx.ModelProto) -> Float64Array:
        asked.append(graph)
        spoiled = any(weight.name == "block_quantized" for weight in graph.graph.initializer)
        return np.array([1.0 if spoiled else 0.01])

    found = choices(quantizer, errors)
    assert next(found).kept == ()
    assert not asked  # the fastest choice needs no measurement
    (other,) = found  # further shares of the error keep nothing else
    assert other.kept == ("encoder/layer",)
    assert "/encoder/layer/conv/Conv" not in other.quantised
    assert len(asked) == 4  # all parts, and each alone
