"""Targets of phrases in a batch without augmentation, and presence by labels."""

from pathlib import Path

import pytest
import torch

from radiograph.preprocess import PreprocessSpec
from tests.builders.training import tiny_runs
from tests.builders.training.tiny_runs import SIZE_PX
from training.config.augmentation import AugmentConfig
from training.data.batches.collate import Batch, load_batch
from training.data.batches.region_targets import presence, region_targets
from training.data.cache.cache import Cache, open_cache
from training.data.rows.described import described, description_of
from training.data.rows.reader import Row
from training.data.text.grounding_phrases import Phrase

STILL = AugmentConfig(rotate_deg=0, translate=0, scale=0, gamma=0, contrast=0, noise=0)
LABELS = (
    ("Pneumonia", "Effusion"),
    ("Left lung", "Cardiomediastinum"),
    ("Right lung", "Lung opacity"),
)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """Lung masks in every row; row 0 has a boxed opacity, odd rows are normal."""
    config = tiny_runs.write_kermany(tmp_path / "data", count=4)
    return open_cache(config, PreprocessSpec(size_px=SIZE_PX), tmp_path / "cache")


@pytest.fixture
def batch(cache: Cache) -> Batch:
    """Rows 0 and 1."""
    return load_batch(cache, [0, 1], LABELS, STILL, torch.Generator().manual_seed(0))


def test_regions_come_from_masks_boxes_and_labels(cache: Cache, batch: Batch) -> None:
    phrases = [Phrase(c, c) for c in ("left lung", "Pneumonia", "absent", "Cardiomegaly")]
    targets = region_targets(cache.samples[:2], batch, phrases, 16)
    assert targets.maps[0, 0, 2:12, 10:14].all()
    assert targets.maps[0, 1, 3:7, 3:6].all()
    assert not targets.maps[:, 2].any()
    assert targets.presence.tolist() == [[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]
    assert targets.presence_known.tolist() == [[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]]
    assert targets.weight[0, 3].max() == 0.0
    assert targets.weight[1, 3].min() == 1.0


def test_a_pneumonia_without_a_region_is_weighted_only_outside_the_lungs(cache: Cache) -> None:
    batch = load_batch(cache, [2], LABELS, STILL, torch.Generator().manual_seed(0))
    targets = region_targets([cache.samples[2]], batch, [Phrase("pneumonia", "Pneumonia")], 16)
    assert targets.presence.item() == 1.0
    assert targets.maps.max() == 0.0
    assert targets.weight[0, 0, 2:12, 10:14].max() == 0.0
    assert targets.weight[0, 0, :, 15].min() == 1.0


def _row(table: str, *labels: str) -> Row:
    row = Row(
        table=table, image="a.png", patient_id="a", split="train", text="", labels=labels,
        view="PA", sex="", age="", licence="", licence_class="open",
    )  # fmt: skip
    return described(row, description_of(Path("no folder"), table))


@pytest.mark.parametrize(
    ("labels", "concept", "expected"),
    [
        (("kermany_224", "normal"), "left lung", True),
        (("kermany_224", "normal"), "visible", True),
        (("kermany_224", "normal"), "absent", False),
        (("kermany_224", "normal"), "normal", True),
        (("kermany_224", "normal"), "device", False),
        (("kermany_224", "normal"), "Pneumonia", False),
        (("kermany_224", "normal"), "Effusion", False),
        (("kermany_224", "pneumonia", "viral"), "Pneumonia", True),
        (("kermany_224", "pneumonia", "viral"), "Effusion", None),
        (("kermany_224", "pneumonia", "viral"), "normal", False),
        (("kermany_224", "pneumonia", "viral"), "device", None),
        (("nih_subset", "Effusion"), "Effusion", True),
        (("nih_subset", "Effusion"), "Pneumonia", False),
        (("nih_subset", "No Finding"), "normal", True),
        (("nih_subset", "No Finding"), "device", None),
        (("covid_cxr",), "Pneumonia", None),
        (("covid_cxr",), "normal", None),
        (("covid_cxr",), "absent", False),
    ],
)
def test_presence_by_the_labels_of_a_row(
    labels: tuple[str, ...], concept: str, expected: bool | None
) -> None:
    assert presence(_row(*labels), concept) is expected
