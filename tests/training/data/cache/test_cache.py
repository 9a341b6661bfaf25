"""The cache of a miniature table: what is kept, what is left out, which side is which."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from radiograph.preprocess import PreprocessSpec
from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.tiny_runs import SIZE_PX, picture, png, record
from tests.builders.training.sets.cached_pixels import pixels
from training.config.run import DataConfig
from training.data.annotations.mask_planes import IGNORE, place_of
from training.data.cache import cache as cache_module
from training.data.cache.cache import Cache, open_cache
from training.data.rows.dataset_files import DataError

SPEC = PreprocessSpec(size_px=SIZE_PX)
NAME = "covid_cxr"
KEPT = ("kept", "opacity")


def _unsure() -> bytes:
    mask = np.zeros((SIZE_PX, SIZE_PX), dtype=np.uint8)
    mask[10:30, 10:30] = 255
    mask[40:60, 10:30] = 127
    return png(mask)


def _write(root: Path, *, tar: bool = False) -> DataConfig:
    pictures = ("kept", "closed", "lateral", "broken", "opacity")
    files = {f"{NAME}/{name}.png": picture(i) for i, name in enumerate(pictures)}
    files[f"{NAME}/broken.png"] = b"\x89PNG\r\n\x1a\nnothing follows"
    files |= {f"{NAME}/lungs.png": tiny_runs.lungs_png(), f"{NAME}/unsure.png": _unsure()}
    box = {"label": "Pneumonia", "xyxy": [8, 16, 24, 32]}
    unknown = {"label": "Rib", "xyxy": [0, 0, 1, 1]}
    records = [
        record(f"{NAME}/kept.png", lung_mask=f"{NAME}/lungs.png", boxes=[box, unknown]),
        record(f"{NAME}/closed.png", licence_class="noncommercial"),
        record(f"{NAME}/lateral.png", view="L"),
        record(f"{NAME}/broken.png"),
        record(f"{NAME}/missing.png"),
        record(
            f"{NAME}/opacity.png",
            split="valid",
            class_masks={"Consolidation": f"{NAME}/unsure.png", "Rib": f"{NAME}/nowhere.png"},
        ),
    ]
    tiny_runs.write_table(root, NAME, records, files, tar=tar)
    return DataConfig(root=root, tables=(NAME,))


@pytest.fixture(params=[False, True], ids=["folder", "tar"])
def cached(request: pytest.FixtureRequest, tmp_path: Path) -> Cache:
    """The cache of the table above, its files in a folder or in a tar."""
    return open_cache(_write(tmp_path / "data", tar=request.param), SPEC, tmp_path / "cache")


def _mask(cached: Cache, index: int, name: str) -> NDArray[np.bool_]:
    plane, bit = place_of(name, cached.structures)
    inside: NDArray[np.bool_] = (cached.masks[index][plane] & bit) != 0
    return inside


def _caches(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "cache").iterdir() if not path.name.startswith(".")]


def test_usable_rows_are_kept_in_the_order_of_the_table(cached: Cache) -> None:
    assert [s.row.image for s in cached.samples] == [f"{NAME}/kept.png", f"{NAME}/opacity.png"]
    assert cached.images.shape == (2, SIZE_PX, SIZE_PX)
    assert cached.masks.shape == (2, 1, SIZE_PX, SIZE_PX)
    assert cached.where("train") == [0]
    assert cached.where("valid") == [1]
    assert cached.images[0].min() == 0
    assert cached.images[0].max() == 255


def test_rows_left_out_are_counted_by_reason(cached: Cache) -> None:
    assert cached.left_out["licence class noncommercial"] == 1
    assert cached.left_out["lateral view"] == 1
    assert sum(cached.left_out.values()) == 4
    assert cached.left_out["missing file"] == 1


def test_the_patients_right_lung_is_on_the_left_of_the_image(cached: Cache) -> None:
    right, left = _mask(cached, 0, "Right lung"), _mask(cached, 0, "Left lung")
    assert right[:, : SIZE_PX // 2].sum() == right.sum() == 48 * 22
    assert left[:, SIZE_PX // 2 :].sum() == left.sum() == 40 * 18
    assert cached.samples[0].known == {"Left lung", "Right lung"}


def test_pixels_without_annotation_are_marked_and_belong_to_no_structure(cached: Cache) -> None:
    assert _mask(cached, 1, "Lung opacity")[10:30, 10:30].all()
    assert _mask(cached, 1, "Lung opacity").sum() == 400
    ignored = (cached.masks[1][0] & IGNORE) != 0
    assert ignored[40:60, 10:30].all()
    assert ignored.sum() == 400


def test_boxes_are_on_the_grid_and_unknown_labels_are_left_out(cached: Cache) -> None:
    assert cached.samples[0].boxes == (("Lung opacity", (8.0, 16.0, 24.0, 32.0)),)


def test_a_second_opening_reuses_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = _write(tmp_path / "data")
    first = open_cache(config, SPEC, tmp_path / "cache")
    monkeypatch.delattr(cache_module, "build")
    second = open_cache(config, SPEC, tmp_path / "cache")
    assert list(second.samples) == list(first.samples)
    assert np.array_equal(pixels(second), pixels(first))
    assert len(_caches(tmp_path)) == 1


def test_another_preprocessing_or_licence_has_another_cache(tmp_path: Path) -> None:
    config = _write(tmp_path / "data")
    open_cache(config, SPEC, tmp_path / "cache")
    open_cache(config, PreprocessSpec(size_px=32), tmp_path / "cache")
    both = config.model_copy(update={"licences": ("open", "noncommercial")})
    assert len(open_cache(both, SPEC, tmp_path / "cache").samples) == 3
    assert len(_caches(tmp_path)) == 3


def test_a_changed_image_or_mask_has_another_cache(tmp_path: Path) -> None:
    config = _write(tmp_path / "data")
    open_cache(config, SPEC, tmp_path / "cache")
    image = next((tmp_path / "data").rglob("*.png"))
    image.write_bytes(image.read_bytes() + b"\0")
    open_cache(config, SPEC, tmp_path / "cache")
    assert len(_caches(tmp_path)) == 2


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no_table"):
        open_cache(DataConfig(root=tmp_path, tables=("no_table",)), SPEC, tmp_path / "cache")


@pytest.mark.parametrize("file", ["images.npy", "rows.jsonl", "rows_end.npy", "rows.json"])
@pytest.mark.parametrize("left", [0, 100])
def test_a_cache_that_is_cut_off_is_named_and_can_be_built_again(
    file: str, left: int, tmp_path: Path
) -> None:
    config = _write(tmp_path / "data")
    whole = open_cache(config, SPEC, tmp_path / "cache")
    path = whole.folder / file
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(DataError, match=f"{whole.folder} is damaged; .* g2d prepare --again"):
        open_cache(config, SPEC, tmp_path / "cache")
    again = open_cache(config, SPEC, tmp_path / "cache", again=True)
    assert [sample.row.image for sample in again.samples] == [f"{NAME}/{n}.png" for n in KEPT]
