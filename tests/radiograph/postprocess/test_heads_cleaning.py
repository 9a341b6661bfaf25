"""Masks whose label asks for cleaning: boxes and areas are those of the structure itself."""

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry.geometry import Geometry
from radiograph.manifest import HeadSpec, Label, MaskCleaning, Task
from radiograph.postprocess.heads import segment

SQUARE = Geometry.fit(400, 400, 224)
PORTRAIT = Geometry.fit(400, 200, 224)  # the image covers grid columns 56 to 168
ROUGH = HeadSpec(
    kind=Task.SEGMENT, file="heads/x.onnx", inputs=("deep",), labels=(Label(name="Left lung"),)
)


def half_plane(size: int) -> NDArray[np.float32]:
    """Left half absent, right half present: 1 x size x size."""
    logits = np.full((1, size, size), -4.0, dtype=np.float32)
    logits[:, :, size // 2 :] = 4.0
    return logits


def rough_halves(size: int = 40) -> NDArray[np.float32]:
    """Right half present, with an island at the left, a hole and a piece that is cut off."""
    logits = half_plane(size)
    logits[0, 2, 3] = 4.0  # an island
    logits[0, 20, 30] = -4.0  # a hole
    logits[0, 35] = -4.0  # a cut through everything
    return logits


def cleaned(**parameters: object) -> HeadSpec:
    clean = MaskCleaning.model_validate(parameters)
    return HeadSpec(
        kind=Task.SEGMENT,
        file="heads/x.onnx",
        inputs=("deep",),
        labels=(Label(name="Left lung", clean=clean),),
    )


def test_the_box_of_a_clean_mask_is_not_stretched_by_islands() -> None:
    raw = {"logits": rough_halves()}
    (rough,) = segment(ROUGH, raw, SQUARE, (0.5, 0.5))
    assert rough.box is not None
    assert rough.box[0] < 40
    assert rough.box[3] == 400
    (mask,) = segment(cleaned(largest=1, fill_holes=True), raw, SQUARE, (0.5, 0.5))
    assert mask.box == (200.0, 0.0, 400.0, 350.0)  # the cut begins half-way between two cells
    sound = half_plane(40)
    sound[0, 35:] = -4.0
    (expected,) = segment(ROUGH, {"logits": sound}, SQUARE, (0.5, 0.5))
    assert np.array_equal(mask.mask, expected.mask)
    assert (mask.area_px, mask.area_mm2) == (expected.area_px, expected.area_mm2)


def test_pieces_that_reach_the_share_stay() -> None:
    raw = {"logits": rough_halves()}
    (mask,) = segment(cleaned(min_share=0.05), raw, SQUARE, None)
    assert mask.box == (200.0, 0.0, 400.0, 400.0)
    assert not mask.mask[205, 305]


def test_a_clean_mask_of_a_padded_image_is_where_the_structure_is() -> None:
    logits = half_plane(40)
    logits[:, 5, 12] = logits[:, :, 38] = 4.0
    (mask,) = segment(cleaned(largest=1), {"logits": logits}, PORTRAIT, None)
    assert mask.box == (100.0, 0.0, 200.0, 400.0)


def test_an_empty_mask_stays_empty_when_it_is_cleaned() -> None:
    raw = {"logits": np.full((1, 7, 7), -9.0, dtype=np.float32)}
    (mask,) = segment(cleaned(largest=1, fill_holes=True), raw, SQUARE, None)
    assert (mask.area_px, mask.box) == (0, None)
