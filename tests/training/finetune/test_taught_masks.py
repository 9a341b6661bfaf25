"""Masks from a teacher: where it agrees with itself, and never in place of an annotation."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from radiograph.manifest import MaskCleaning
from radiograph.preprocess import PreprocessSpec
from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.tiny_runs import SIZE_PX, png, record
from training.config.finetune import TeacherConfig
from training.config.run import DataConfig
from training.data.annotations.mask_planes import IGNORE, place_of
from training.data.cache.cache import Cache, open_cache
from training.finetune import taught_masks
from training.finetune.taught_masks import with_taught_masks


def _square() -> bytes:
    """Return a bright square of 28 px, with a bright island of 4 px, on black."""
    pixels = np.zeros((SIZE_PX, SIZE_PX), dtype=np.uint8)
    pixels[16:44, 20:48] = 255
    pixels[54:58, 54:58] = 255
    return png(pixels)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """Rows 0 and 1 have lung masks, row 2 has none."""
    tiny_runs.write_kermany(tmp_path, count=2)
    files = {"adults/square.png": _square()}
    tiny_runs.write_table(tmp_path, "adults", [record("adults/square.png")], files, tar=False)
    config = DataConfig(root=tmp_path, tables=("kermany_224", "adults"))
    return open_cache(config, PreprocessSpec(size_px=SIZE_PX), tmp_path / "cache")


@pytest.fixture
def config(tmp_path: Path) -> TeacherConfig:
    """A configuration whose checkpoint the stub below stands for."""
    (tmp_path / "teacher.ckpt").write_bytes(b"weights")
    return TeacherConfig(run=tmp_path / "teacher.ckpt", tables=("adults",), agreement=0.85)


@pytest.fixture
def _teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    """A teacher that takes what is bright for the left lung, and fixed stripes for the right."""
    run = SimpleNamespace(
        masks=("Left lung", "Right lung"), clean={"Left lung": MaskCleaning(largest=1)}
    )

    def brightness(_: object, images: Tensor) -> Tensor:
        stripes = torch.tensor([0.9, 0.1]).repeat(SIZE_PX // 2).expand_as(images)
        return torch.cat([images, stripes], dim=1)

    monkeypatch.setattr(taught_masks, "_read_teacher", lambda _: SimpleNamespace(config=run))
    monkeypatch.setattr(taught_masks, "_probabilities", brightness)


@pytest.mark.usefixtures("_teacher")
def test_a_mask_on_which_two_views_agree_is_known_and_cleaned(
    cache: Cache, config: TeacherConfig
) -> None:
    taught = with_taught_masks(cache, config, seed=0)
    assert taught.samples[2].known == {"Left lung"}
    assert taught.samples[2].row.organs == ("Left lung",)
    plane, bit = place_of("Left lung", taught.structures)
    mask = (taught.masks[2][plane] & bit) != 0
    assert mask[17:43, 21:47].all()
    assert mask.sum() == pytest.approx(28 * 28, abs=60)
    assert not mask[52:, 52:].any()  # the island


@pytest.mark.usefixtures("_teacher")
def test_pixels_of_which_the_teacher_is_unsure_are_not_annotated(
    cache: Cache, config: TeacherConfig
) -> None:
    ignored = (with_taught_masks(cache, config, seed=0).masks[2][0] & IGNORE) != 0
    unsure = (cache.images[2] > 0.3 * 255) & (cache.images[2] < 0.7 * 255)
    assert np.array_equal(ignored, unsure)


@pytest.mark.usefixtures("_teacher")
def test_a_mask_on_which_the_views_differ_is_not_known(cache: Cache, config: TeacherConfig) -> None:
    """The stripes stay where they are when the image moves."""
    taught = with_taught_masks(cache, config, seed=0)
    plane, bit = place_of("Right lung", taught.structures)
    assert "Right lung" not in taught.samples[2].known
    assert not (taught.masks[2][plane] & bit).any()


@pytest.mark.usefixtures("_teacher")
def test_annotated_rows_and_other_tables_stay_as_they_are(
    cache: Cache, config: TeacherConfig
) -> None:
    everywhere = config.model_copy(update={"tables": ("kermany_224", "adults")})
    taught = with_taught_masks(cache, everywhere, seed=0)
    assert [taught.samples[i] for i in (0, 1)] == [cache.samples[i] for i in (0, 1)]
    assert all(np.array_equal(taught.masks[i], cache.masks[i]) for i in (0, 1))
    elsewhere = config.model_copy(update={"tables": ("kermany_224",)})
    assert with_taught_masks(cache, elsewhere, seed=0).samples[2] == cache.samples[2]


@pytest.mark.usefixtures("_teacher")
def test_taught_masks_are_kept_for_the_next_start(
    cache: Cache, config: TeacherConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = with_taught_masks(cache, config, seed=0)
    monkeypatch.setattr(taught_masks, "_read_teacher", None)
    again = with_taught_masks(cache, config, seed=0)
    assert again.samples[2] == first.samples[2]
    assert np.array_equal(again.masks[2], first.masks[2])
    config.run.write_bytes(b"other weights")
    with pytest.raises(TypeError):
        with_taught_masks(cache, config, seed=0)


def test_a_teacher_is_an_earlier_fine_tuning(
    cache: Cache, config: TeacherConfig, finetuned: Path, pretrained_step: Path
) -> None:
    before = [sample.known for sample in cache.samples]
    taught = with_taught_masks(cache, config.model_copy(update={"run": finetuned}), seed=0)
    assert [sample.known for sample in taught.samples][:2] == before[:2]
    with pytest.raises(ValueError, match="that of a finetune run belongs"):
        with_taught_masks(cache, config.model_copy(update={"run": pretrained_step}), seed=0)
