"""Targets of each head in a batch without augmentation, from a miniature table."""

from pathlib import Path

import pytest
import torch

from radiograph.preprocess import PreprocessSpec
from tests.builders.training import tiny_runs
from tests.builders.training.tiny_runs import SIZE_PX
from training.config.augmentation import AugmentConfig
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
    return load_batch(cache, [0, 1], LABELS, STILL, torch.Generator().manual_seed(0))


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
    batch = load_batch(cache, [2], LABELS, STILL, torch.Generator().manual_seed(0))
    assert batch.boxes_known.tolist() == [[True, False]]


def test_a_finding_that_is_absent_has_no_box(cache: Cache) -> None:
    """Row 1 is normal; row 2 has a pneumonia that nobody drew."""
    labels = ((), (), ("Pneumonia",))
    batch = load_batch(cache, [1, 2], labels, STILL, torch.Generator().manual_seed(0))
    assert batch.boxes_known.tolist() == [[True], [False]]
    assert batch.boxes == [{}, {}]
