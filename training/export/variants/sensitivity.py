"""Choice of the parts of a trunk that stay in float32: those that lose most for their work.

    each part quantised alone --images--> error of the answers --/ work--> order of the parts

A choice keeps the first parts of that order in float32, until those that are quantised have at
most some share of the whole error.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from training.export.variants.quantization import OPERATORS, Quantizer
from training.export.variants.trunk_parts import Part, parts_of
from training.metrics.arrays import Float64Array
from training.progress import track

Errors = Callable[[onnx.ModelProto], Float64Array]
"""Graph of a trunk -> error of the answers of each head, beside those of float32."""

SHARES = (0.6, 0.4, 0.25, 0.1)
"""Largest shares of the error of all parts that are quantised, the fastest choice first."""
_TINY = 1e-12


@dataclass(frozen=True)
class Choice:
    """Parts of a trunk that stay in float32.

    Attributes:
        kept: names of these parts.
        quantised: names of the operators in int8.
    """

    kept: tuple[str, ...]
    quantised: frozenset[str]


def choices(quantizer: Quantizer, errors: Errors) -> Iterator[Choice]:
    """Yield choices, from no part in float32 to many.

    Args:
        quantizer: the trunk.
        errors: measures graphs; it is not called before the second choice is asked for.
    """
    parts = parts_of(quantizer.model, OPERATORS, quantizer.work())
    last = _choice(parts, [])
    yield last
    losses = _losses(quantizer, parts, errors)
    for share in SHARES:
        choice = _choice(parts, most_costly(parts, losses, share))
        if choice != last and choice.quantised:
            last = choice
            yield choice


def most_costly(parts: Sequence[Part], losses: Sequence[float], share: float) -> list[Part]:
    """Return the parts to keep, so that the others have at most a share of the sum of losses.

    Args:
        parts: all parts.
        losses: error of the answers if one part alone is quantised, in the order of the parts.
        share: 0 to 1.
    """
    by_cost = sorted(zip(parts, losses, strict=True), key=lambda one: -one[1] / one[0].work)
    left = total = sum(losses)
    kept = []
    for part, loss in by_cost:
        if left <= share * total:
            break
        kept.append(part)
        left -= loss
    return kept


def _choice(parts: Sequence[Part], kept: Sequence[Part]) -> Choice:
    quantised = [part.operators for part in parts if part not in kept]
    return Choice(tuple(part.name for part in kept), frozenset().union(*quantised))


def _losses(quantizer: Quantizer, parts: Sequence[Part], errors: Errors) -> list[float]:
    """Return the error of each part alone, as a share of that of all parts, mean over the heads."""
    together = np.maximum(errors(quantizer.quantize(_choice(parts, []).quantised)), _TINY)
    return [
        float((errors(quantizer.quantize(part.operators)) / together).mean())
        for part in track(list(parts), "parts in int8 alone")
    ]
