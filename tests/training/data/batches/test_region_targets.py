"""Targets of phrases in a batch without augmentation, and presence by labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from radiograph.preprocess import PreprocessSpec
from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.tiny_runs import SIZE_PX, record
from training.config.augmentation import AugmentConfig
from training.config.run import DataConfig
from training.data.batches.collate import Batch, load_batch
from training.data.batches.region_targets import RegionTargets, presence, region_targets
from training.data.cache.cache import Cache, open_cache
from training.data.rows.reader import Row
from training.data.tables.described import described, description_of
from training.data.text.phrases.grounding_phrases import Phrase

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
    return load_batch(cache, [0, 1], LABELS, STILL, 0)


def test_regions_come_from_masks_boxes_and_labels(cache: Cache, batch: Batch) -> None:
    phrases = [Phrase(c, c) for c in ("left lung", "Pneumonia", "absent", "Cardiomegaly")]
    targets = region_targets(cache.samples[:2], batch, phrases, 16)
    assert targets.maps[0, 0, 2:12, 10:14].all()
    assert targets.maps[0, 1, 3:7, 3:6].all()
    assert not targets.maps[:, 2].any()
    assert targets.presence.tolist() == [[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]
    assert targets.presence_weight.tolist() == [[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]]
    assert targets.weight[0, 3].max() == 0.0
    assert targets.weight[1, 3].min() == 1.0


def test_a_pneumonia_without_a_region_is_weighted_only_outside_the_lungs(cache: Cache) -> None:
    batch = load_batch(cache, [2], LABELS, STILL, 0)
    targets = region_targets([cache.samples[2]], batch, [Phrase("pneumonia", "Pneumonia")], 16)
    assert targets.presence.item() == 1.0
    assert targets.maps.max() == 0.0
    assert targets.weight[0, 0, 2:12, 10:14].max() == 0.0
    assert targets.weight[0, 0, :, 15].min() == 1.0


def _boxed(tmp_path: Path, **changes: Any) -> Cache:
    """One radiograph with effusions on both sides, the larger one on the patient's right."""
    boxes = [
        {"label": "Effusion", "xyxy": [8, 32, 24, 56]},
        {"label": "Effusion", "xyxy": [44, 40, 56, 48]},
    ]
    row = record("t/a.png", labels="Effusion", **{"boxes": boxes} | changes)
    tiny_runs.write_table(tmp_path, "t", [row], {"t/a.png": tiny_runs.picture(0)}, tar=False)
    (tmp_path / "t.yaml").write_text("known_for: every_row\nfindings: {Effusion: {}, Mass: {}}\n")
    config = DataConfig(root=tmp_path, tables=("t",))
    return open_cache(config, PreprocessSpec(size_px=SIZE_PX), tmp_path / "cache")


def _targets(cache: Cache, *phrases: Phrase) -> RegionTargets:
    batch = load_batch(cache, [0], ((), (), ()), STILL, 0)
    return region_targets(cache.samples[:1], batch, phrases, 16)


def test_a_side_of_a_finding_has_the_boxes_of_that_side(tmp_path: Path) -> None:
    """The patient's right is on the left of the image."""
    sides = ("", "right", "left")
    targets = _targets(_boxed(tmp_path), *(Phrase("effusion", "Effusion", s) for s in sides))
    right, left = torch.zeros(16, 16), torch.zeros(16, 16)
    right[8:14, 2:6], left[10:12, 11:14] = 1, 1
    assert torch.equal(targets.maps[0], torch.stack([right + left, right, left]))
    assert targets.weight.min() == 1
    assert targets.presence.tolist() == [[1, 1, 1]]


def test_a_finding_on_the_other_side_is_not_there(tmp_path: Path) -> None:
    one = [{"label": "Effusion", "xyxy": [8, 32, 24, 56]}]
    targets = _targets(_boxed(tmp_path, boxes=one), Phrase("effusion", "Effusion", "left"))
    assert (targets.presence.item(), targets.presence_weight.item()) == (0, 1)
    assert (targets.maps.max().item(), targets.weight.min().item()) == (0, 1)


def test_a_box_on_the_midline_is_on_neither_side_for_certain(tmp_path: Path) -> None:
    middle = [{"label": "Effusion", "xyxy": [28, 32, 36, 40]}]
    targets = _targets(_boxed(tmp_path, boxes=middle), Phrase("effusion", "Effusion", "left"))
    assert targets.weight[0, 0, 8:10, 7:9].max() == 0
    assert targets.weight.sum() == 16 * 16 - 4


@pytest.mark.parametrize(("zone", "shown"), [("upper", 0.0), ("middle", 0.0), ("lower", 1.0)])
def test_a_zone_has_the_boxes_whose_centres_are_in_that_third(
    tmp_path: Path, zone: str, shown: float
) -> None:
    """The lungs span rows 8 to 56; the centre of the box on the right is in row 50."""
    box = [{"label": "Effusion", "xyxy": [8, 46, 24, 54]}]
    row = record("t/a.png", labels="Effusion", boxes=box, lung_mask="t/lungs.png")
    files = {"t/a.png": tiny_runs.picture(0), "t/lungs.png": tiny_runs.lungs_png()}
    tiny_runs.write_table(tmp_path, "t", [row], files, tar=False)
    config = DataConfig(root=tmp_path, tables=("t",))
    cache = open_cache(config, PreprocessSpec(size_px=SIZE_PX), tmp_path / "cache")
    phrases = [Phrase("effusion", "Effusion", side, zone) for side in ("right", "left")]
    targets = _targets(cache, *phrases)
    assert targets.presence.tolist() == [[shown, 0.0]]
    assert targets.maps[0, 0].sum() == shown * 4 * 2


def test_a_zone_of_lungs_that_are_not_known_is_not_known(tmp_path: Path) -> None:
    targets = _targets(_boxed(tmp_path), Phrase("effusion", "Effusion", "right", "lower"))
    assert targets.presence_weight.item() == 0
    assert targets.weight.max() == 0


def test_a_finding_without_a_box_is_somewhere(tmp_path: Path) -> None:
    phrases = Phrase("effusion", "Effusion"), Phrase("left effusion", "Effusion", "left")
    targets = _targets(_boxed(tmp_path, boxes=[]), *phrases)
    assert targets.presence_weight.tolist() == [[1, 0]]
    assert targets.weight.max() == 0


def test_a_finding_that_is_absent_has_an_empty_map_on_either_side(tmp_path: Path) -> None:
    targets = _targets(
        _boxed(tmp_path), Phrase("mass", "Mass"), Phrase("left mass", "Mass", "left")
    )
    assert targets.presence_weight.tolist() == [[1, 1]]
    assert (targets.maps.max().item(), targets.weight.min().item()) == (0, 1)


def test_the_heart_is_its_mask_where_it_is_annotated(tmp_path: Path) -> None:
    heart = np.zeros((SIZE_PX, SIZE_PX), dtype=np.uint8)
    heart[28:48, 24:44] = 255
    row = record("h/a.png", class_masks={"Heart": "h/heart.png"})
    files = {"h/a.png": tiny_runs.picture(0), "h/heart.png": tiny_runs.png(heart)}
    tiny_runs.write_table(tmp_path, "h", [row], files, tar=False)
    config = DataConfig(root=tmp_path, tables=("h",))
    cache = open_cache(config, PreprocessSpec(size_px=SIZE_PX), tmp_path / "cache")
    targets = _targets(cache, Phrase("heart", "heart"), Phrase("big heart", "Cardiomegaly"))
    assert targets.maps[0, 0, 7:12, 6:11].all()
    assert targets.maps.sum() == 25
    assert targets.presence_weight.tolist() == [[1, 0]]  # a heart of unknown size


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
