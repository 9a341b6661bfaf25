"""Examples for the checks: pictures on the grid of the model, with what is known of each.

row of a data set -> radiograph -> upright picture -> change, disturb -> grid, truth
row that is no chest radiograph --------------------'
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from radiograph.geometry.orientation import UPRIGHT
from radiograph.image import Radiograph
from radiograph.preprocess import PreprocessSpec, to_grid
from radiograph.terminology.checks import CHECKS, Check
from training.data.checks import outliers
from training.data.checks.pictures import (
    Change,
    Pixels,
    disturb,
    draw_change,
    folded,
    radiograph_of,
    upright_pixels,
)

SCRATCH_SHARE = 0.12
"""Share of the examples that are made by `outliers`."""
FOLDED_SHARE = 0.12
"""Share of the examples that are made by `pictures.folded`."""


@dataclass(frozen=True, eq=False)
class Example:
    """One picture on the grid of the model.

    Attributes:
        grid: size x size uint8.
        truth: answers to the checks, as far as they are known.
    """

    grid: NDArray[np.uint8]
    truth: Mapping[Check, bool]


def on_grid(radiograph: Radiograph, spec: PreprocessSpec) -> NDArray[np.uint8]:
    """Return a radiograph on the grid of the model, size x size, rounded to 8 bits."""
    grid, _ = to_grid(radiograph, spec)
    return (grid * 255 + 0.5).astype(np.uint8)


def chest_truth(change: Change, *, lateral: bool) -> dict[Check, bool]:
    """Return the answers for a changed radiograph; a lateral view shows no sides."""
    known = {**change.truth, Check.LATERAL: lateral, Check.OUT_OF_DOMAIN: False}
    return {check: answer for check, answer in known.items() if not lateral or check is not _SIDES}


_SIDES = Check.MIRRORED
OUTLIER_TRUTH: Mapping[Check, bool] = {Check.OUT_OF_DOMAIN: True}
"""What is known of a picture that shows no chest."""


def draw_example(
    radiograph: Radiograph,
    spec: PreprocessSpec,
    rng: Generator,
    *,
    lateral: bool = False,
    outlier: bool = False,
) -> Example:
    """Draw an example from one picture.

    Args:
        radiograph: picture of a data set.
        spec: preprocessing.
        rng: decides on the example.
        lateral: the picture is a lateral view.
        outlier: the picture is no chest radiograph.
    """
    pixels, change, kind = upright_pixels(radiograph), draw_change(rng), rng.random()
    if outlier:
        return Example(_changed(disturb(_zoomed(pixels, rng), rng), change, spec), OUTLIER_TRUTH)
    if kind < SCRATCH_SHARE:
        return Example(on_grid(radiograph_of(outliers.draw(pixels, rng)), spec), OUTLIER_TRUTH)
    if kind < SCRATCH_SHARE + FOLDED_SHARE and not lateral:
        pixels, lateral = folded(pixels, rng), True
    truth = chest_truth(change, lateral=lateral)
    return Example(_changed(disturb(pixels, rng), change, spec), truth)


def changed(radiograph: Radiograph, change: Change) -> Radiograph:
    """Return a radiograph that is turned upright and then changed, without its shutter."""
    turned = np.ascontiguousarray(radiograph.orientation.turn(radiograph.samples))
    upright = replace(radiograph, samples=turned, orientation=UPRIGHT, shutter=None)
    return change.of(upright)


def _changed(pixels: Pixels, change: Change, spec: PreprocessSpec) -> NDArray[np.uint8]:
    return on_grid(change.of(radiograph_of(pixels)), spec)


def _zoomed(pixels: Pixels, rng: Generator) -> Pixels:
    """Return the inner part of every second picture, without a round frame around it."""
    if rng.random() < 0.5:
        return pixels
    rows, columns = pixels.shape
    share = rng.uniform(0.4, 0.8)
    height, width = max(8, int(rows * share)), max(8, int(columns * share))
    top, left = (rows - height) // 2, (columns - width) // 2
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def answers(
    examples: Sequence[Mapping[Check, bool]],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the truth of N examples as numbers.

    Returns:
        N x checks in {0, 1}, and N x checks bool, False where the answer is not known.
    """
    truth = np.array([[each.get(check, False) for check in CHECKS] for each in examples])
    known = np.array([[check in each for check in CHECKS] for each in examples])
    shape = (len(examples), len(CHECKS))
    return truth.reshape(shape).astype(np.float32), known.reshape(shape).astype(bool)
