"""Version 1 gives the tensors that models were trained with: one resize of all displayed pixels."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from radiograph.geometry.geometry import Geometry
from radiograph.geometry.orientation import Orientation
from radiograph.image import IDENTITY, DisplayTable, Radiograph
from radiograph.preprocess import PreprocessSpec, to_grid, version_1

SHAPES = [(1, 1), (1, 700), (700, 1), (30, 40), (224, 224), (701, 499), (1300, 1100)]


def at_once(pixels: NDArray[np.uint16], spec: PreprocessSpec) -> NDArray[np.float32]:
    """Resize all displayed pixels by one call of Pillow, and stretch them."""
    g = Geometry.fit(pixels.shape[0], pixels.shape[1], spec.size_px)
    image = Image.fromarray(pixels.astype(np.float32))
    small = np.asarray(image.resize((g.width, g.height), Image.Resampling.BILINEAR))
    low, high = np.percentile(small, (spec.low_percentile, spec.high_percentile))
    grid = np.zeros((spec.size_px, spec.size_px), dtype=np.float32)
    if high > low:
        grid[g.top : g.top + g.height, g.left : g.left + g.width] = np.clip(
            (small - low) / (high - low), 0, 1
        )
    return grid


@pytest.mark.parametrize("table", [DisplayTable.linear(4096), IDENTITY])
@pytest.mark.parametrize("shape", SHAPES)
def test_strips_give_the_bits_of_one_resize(
    shape: tuple[int, int], table: DisplayTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = np.random.default_rng(0).integers(0, 4096, shape).astype(np.uint16)
    radiograph = Radiograph(samples, table)
    for strip_px in (1, 1000, 2**18):
        monkeypatch.setattr(version_1, "_STRIP_PX", strip_px)
        made, _ = to_grid(radiograph, PreprocessSpec())
        assert np.array_equal(made, at_once(radiograph.pixels, PreprocessSpec()))


@pytest.mark.parametrize("turned", [False, True])
def test_padding_shutter_and_spacing_are_of_no_account(turned: bool) -> None:
    """They were not known to the models that were trained with version 1."""
    samples = np.random.default_rng(1).integers(0, 256, (90, 60)).astype(np.uint8)
    orientation = Orientation(transposed=turned)
    table = DisplayTable.linear(256)
    padded = DisplayTable(table.brightness, np.arange(256) == 0)
    plain = Radiograph(samples, table, orientation=orientation)
    other = Radiograph(samples, padded, (0.1, 0.2), orientation=orientation)
    spec = PreprocessSpec(size_px=32)
    assert np.array_equal(to_grid(plain, spec)[0], to_grid(other, spec)[0])
    assert to_grid(plain, spec)[1] == to_grid(other, spec)[1]
