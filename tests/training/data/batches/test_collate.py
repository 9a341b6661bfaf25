"""Targets of each head in a batch without augmentation, from a miniature table."""

from pathlib import Path

import numpy as np
import pytest
import torch

from radiograph.preprocess import PreprocessSpec
from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.tiny_runs import SIZE_PX
from training.config.augmentation import (
    AppearanceConfig,
    Augmentation,
    AugmentConfig,
    CropConfig,
    NoAugmentConfig,
    PaperAugmentConfig,
    ReleasedAugmentConfig,
    ShiftScaleRotateConfig,
)
from training.data.augmentation.augment import augment
from training.data.batches.collate import Batch, load_batch
from training.data.cache.cache import Cache, open_cache

STILL = AugmentConfig(rotate_deg=0, translate=0, scale=0, gamma=0, contrast=0, noise=0)
LABELS = (
    ("Pneumonia", "Effusion"),
    ("Left lung", "Cardiomediastinum"),
    ("Right lung", "Lung opacity"),
)
PNEUMONIA_WITH_BOX, NORMAL = 0, 1


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """Lung masks in every row; row 0 has a boxed opacity, odd rows are normal."""
    config = tiny_runs.write_kermany(tmp_path / "data", count=4)
    return open_cache(config, PreprocessSpec(size_px=SIZE_PX), tmp_path / "cache")


@pytest.fixture
def batch(cache: Cache) -> Batch:
    """Rows 0 and 1."""
    return load_batch(cache, [0, 1], LABELS, STILL, 0)


def test_findings_that_a_table_does_not_label_are_not_known(batch: Batch) -> None:
    assert batch.findings[:, 0].tolist() == [1.0, 0.0]
    assert batch.findings_known.tolist() == [[True, False], [True, False]]


def test_masks_that_are_not_annotated_are_not_known(batch: Batch) -> None:
    assert batch.masks_known.tolist() == [[True, False], [True, False]]
    assert batch.masks[0, 0].sum() == 40 * 18
    assert batch.counted.min() == 1.0


def test_boxes_are_bounds_of_masks_or_annotated_or_known_to_be_absent(batch: Batch) -> None:
    assert batch.boxes_known.all()
    lung = batch.boxes[PNEUMONIA_WITH_BOX][0] * SIZE_PX
    assert lung.tolist() == [[6.0, 8.0, 28.0, 56.0]]
    opacity = batch.boxes[PNEUMONIA_WITH_BOX][1] * SIZE_PX
    assert opacity[0].tolist() == pytest.approx([10.0, 12.0, 24.0, 30.0], abs=1e-4)
    assert 1 not in batch.boxes[NORMAL]


def test_opacities_of_a_pneumonia_without_boxes_are_not_known(cache: Cache) -> None:
    batch = load_batch(cache, [2], LABELS, STILL, 0)
    assert batch.boxes_known.tolist() == [[True, False]]


def test_a_finding_that_is_absent_has_no_box(cache: Cache) -> None:
    """Row 1 is normal; row 2 has a pneumonia that nobody drew."""
    labels = ((), (), ("Pneumonia",))
    batch = load_batch(cache, [1, 2], labels, STILL, 0)
    assert batch.boxes_known.tolist() == [[True], [False]]
    assert batch.boxes == [{}, {}]


@pytest.mark.parametrize(
    "config",
    [
        NoAugmentConfig(kind="none"),
        AugmentConfig(),
        AugmentConfig(appearance=AppearanceConfig(border_share=1, jpeg_share=1)),
        PaperAugmentConfig(kind="paper"),
        ReleasedAugmentConfig(kind="released"),
        ShiftScaleRotateConfig(kind="shift_scale_rotate"),
        CropConfig(kind="crop", crop_px=32),
    ],
    ids=lambda config: f"{config.kind}",
)
def test_targets_and_images_that_are_made_later_have_one_geometry(
    cache: Cache, config: Augmentation
) -> None:
    pixels = torch.from_numpy(np.stack([cache.images[i] for i in range(4)])).unsqueeze(1)
    planes = torch.from_numpy(np.stack([cache.masks[i] for i in range(4)]))
    expected = augment(pixels.float() / 255, planes, config, torch.Generator().manual_seed(7))
    batch = load_batch(cache, range(4), LABELS, config, 7)
    assert batch.pixels.dtype == torch.uint8
    assert torch.equal(batch.images(), expected.images)
    assert expected.masks is not None
    assert torch.equal(batch.bits, expected.masks)
    box = torch.tensor([[10.0, 12.0, 24.0, 30.0]]) / SIZE_PX
    moved = expected.geometry.move_boxes(0, box)
    assert torch.equal(batch.drawn[0]["Lung opacity"].boxes, moved)


def test_images_that_the_host_encodes_are_made_while_the_batch_is_loaded(cache: Cache) -> None:
    look = AugmentConfig(appearance=AppearanceConfig())
    assert load_batch(cache, [0], LABELS, look, 0).ready is not None
    assert load_batch(cache, [0], LABELS, AugmentConfig(), 0).ready is None
