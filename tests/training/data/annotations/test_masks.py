"""Masks of other values or another form than their image, and one of both lungs split into two."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.builders.training.runs.tiny_runs import SIZE_PX, png
from training.data.annotations.masks import check_aspect, read_mask, split_lungs
from training.data.rows.dataset_files import AnnotationRefused


@pytest.mark.parametrize("second", [(slice(0, 0), slice(0, 0)), (slice(40, 60), slice(5, 25))])
def test_lungs_that_cannot_be_told_apart_are_not_split(second: tuple[slice, slice]) -> None:
    mask = np.zeros((SIZE_PX, SIZE_PX), dtype=np.uint8)
    mask[5:30, 5:25] = 255
    mask[second] = 255
    assert split_lungs(mask) is None


@pytest.mark.parametrize("values", [(0, 1), (0, 1, 2, 3), (0, 100), (0, 38, 75)])
def test_a_mask_of_other_values_is_not_read_as_empty(values: tuple[int, ...]) -> None:
    mask = np.resize(np.array(values, dtype=np.uint8), (8, 8))
    with pytest.raises(AnnotationRefused, match="other values than 255 inside"):
        read_mask(png(mask))


@pytest.mark.parametrize("values", [(0,), (0, 255), (0, 127, 255), (0, 127), (3, 200, 250)])
def test_masks_as_documented_are_read(values: tuple[int, ...]) -> None:
    mask = np.resize(np.array(values, dtype=np.uint8), (8, 8))
    assert np.array_equal(read_mask(png(mask)), mask)


def test_masks_of_one_bit_and_of_a_palette_are_told_apart() -> None:
    bits = np.eye(8, dtype=np.uint8)
    one_bit, palette = Image.fromarray(bits * 255).convert("1"), Image.new("P", (8, 8))
    palette.putpalette([0, 0, 0, 128, 0, 0])  # as VOC colours the first class
    palette.putdata(bits.flatten().tolist())
    assert np.array_equal(read_mask(_png(one_bit)), bits * 255)
    with pytest.raises(AnnotationRefused):
        read_mask(_png(palette))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_a_mask_may_be_smaller_than_its_image_but_not_of_another_form() -> None:
    mask = np.zeros((64, 48), dtype=np.uint8)
    check_aspect(mask, 64, 48)
    check_aspect(mask, 257, 192)
    for rows, columns in ((48, 64), (64, 64)):
        with pytest.raises(AnnotationRefused, match="another aspect ratio"):
            check_aspect(mask, rows, columns)
