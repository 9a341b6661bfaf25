"""Rows are rendered by the preprocessing of the configuration, with masks and boxes in place."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from radiograph.preprocess import PreprocessSpec
from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.tiny_runs import png, record
from training.config.run import DataConfig
from training.data.annotations.mask_planes import place_of
from training.data.cache.cache import Cache, open_cache

NAME = "covid_cxr"
FIELD = (24, 40, 104, 136)
"""x0, y0, x1, y1 of the exposed field of a picture of 160 x 128."""
BRIGHT = (40, 60, 72, 100)
SIZE_PX = 64


def drawn(box: tuple[int, int, int, int], value: int) -> NDArray[np.uint8]:
    pixels = np.zeros((160, 128), dtype=np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = value
    return pixels


@pytest.fixture
def data(tmp_path: Path) -> DataConfig:
    """A table of one radiograph in a wide black border, with a mask and three boxes."""
    noise = np.random.default_rng(0).integers(60, 100, (160, 128)).astype(np.uint8)
    picture = np.where(drawn(FIELD, 1) == 1, noise, 0).astype(np.uint8)
    picture[drawn(BRIGHT, 1) == 1] = 220
    files = {f"{NAME}/a.png": png(picture), f"{NAME}/mask.png": png(drawn(BRIGHT, 255))}
    boxes = [
        {"label": "Pneumonia", "xyxy": list(BRIGHT)},
        {"label": "Pneumonia", "xyxy": [0, 0, 64, 80]},
        {"label": "Pneumonia", "xyxy": [110, 140, 120, 150]},
    ]
    line = record(f"{NAME}/a.png", boxes=boxes, class_masks={"Consolidation": f"{NAME}/mask.png"})
    tiny_runs.write_table(tmp_path / "data", NAME, [line], files, tar=False)
    return DataConfig(root=tmp_path / "data", tables=(NAME,))


def cached(data: DataConfig, spec: PreprocessSpec, tmp_path: Path) -> Cache:
    return open_cache(data, spec, tmp_path / "cache")


def opacity(cache: Cache) -> NDArray[np.bool_]:
    plane, bit = place_of("Lung opacity", cache.structures)
    found: NDArray[np.bool_] = (cache.masks[0][plane] & bit) != 0
    return found


SPECS = [
    PreprocessSpec(size_px=SIZE_PX),
    PreprocessSpec(version=2, size_px=SIZE_PX),
    PreprocessSpec(version=2, size_px=SIZE_PX, crop="exposed_field"),
]


@pytest.mark.parametrize("spec", SPECS, ids=["version 1", "version 2", "cropped"])
def test_masks_and_boxes_lie_over_what_they_mark(
    data: DataConfig, spec: PreprocessSpec, tmp_path: Path
) -> None:
    cache = cached(data, spec, tmp_path)
    bright = cache.images[0] > 200
    mask = opacity(cache)
    assert (mask & bright).sum() / (mask | bright).sum() > 0.85
    x0, y0, x1, y1 = cache.samples[0].boxes[0][1]
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    expected = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert (x0, y0, x1, y1) == pytest.approx(expected, abs=1)


def test_boxes_are_clipped_to_the_field_that_fills_the_square(
    data: DataConfig, tmp_path: Path
) -> None:
    whole, cropped = (cached(data, spec, tmp_path) for spec in SPECS[1:])
    assert len(whole.samples[0].boxes) == 3
    (_, second) = (box for _, box in cropped.samples[0].boxes)
    field = FIELD[3] - FIELD[1], FIELD[2] - FIELD[0]
    scale = SIZE_PX / max(field)
    left = (SIZE_PX - field[1] * scale) / 2
    assert second == pytest.approx((left, 0, left + 40 * scale, 40 * scale), abs=1.5)


def test_caches_of_different_preprocessing_are_kept_apart(data: DataConfig, tmp_path: Path) -> None:
    assert len({cached(data, spec, tmp_path).folder for spec in SPECS}) == 3


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"boxes": [{"label": "Pneumonia", "xyxy": [0.1, 0.1, 0.4, 0.5]}]}, "a box is given in"),
        ({"boxes": [{"label": "Pneumonia", "xyxy": [200, 10, 210, 20]}]}, "a box lies outside"),
        ({"class_masks": {"Consolidation": f"{NAME}/ones.png"}}, "a mask has other values"),
        ({"class_masks": {"Consolidation": f"{NAME}/turned.png"}}, "a mask has another aspect"),
    ],
)
def test_annotations_of_another_image_are_left_out_with_the_reason(
    cells: dict[str, object], reason: str, tmp_path: Path
) -> None:
    files = {
        f"{NAME}/a.png": png(drawn(BRIGHT, 200)),
        f"{NAME}/b.png": png(drawn(FIELD, 200)),
        f"{NAME}/ones.png": png(drawn(BRIGHT, 1)),
        f"{NAME}/turned.png": png(np.ascontiguousarray(drawn(BRIGHT, 255).T)),
    }
    lines = [record(f"{NAME}/a.png", **cells), record(f"{NAME}/b.png")]
    tiny_runs.write_table(tmp_path / "data", NAME, lines, files, tar=False)
    cache = cached(DataConfig(root=tmp_path / "data", tables=(NAME,)), SPECS[0], tmp_path)
    assert [sample.row.image for sample in cache.samples] == [f"{NAME}/b.png"]
    ((left_out, count),) = cache.left_out.items()
    assert (left_out.startswith(reason), count) == (True, 1)
