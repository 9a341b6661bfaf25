"""What the downstream data sets say of an image, as training and evaluation see it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image

from radiograph.limits import DEFAULT_LIMITS
from radiograph.preprocess import PreprocessSpec, preprocess
from radiograph.readers.read import UNKNOWN, read
from radiograph.terminology import code_of
from tests.builders.training.tiny_downstream import (
    frontal,
    large_dicom,
    write_chexpert,
    write_covidx,
    write_cxr14,
    write_object_cxr,
    write_rsna,
    write_siim,
)
from tests.builders.training.tiny_runs import SIZE_PX
from tests.builders.training.tiny_sets import config, write_csv
from training.config.augmentation import AugmentConfig
from training.data.batches.collate import Batch, load_batch
from training.data.cache.cache import Cache, open_cache
from training.data.catalog import open_reader
from training.data.rows.labels import COVIDX_FINDINGS, NIH_FINDINGS, UNCERTAIN_AS_PRESENT, truth
from training.data.rows.masks import IGNORE, STRUCTURES, read_mask
from training.data.rows.reader import Reader, Row
from training.evaluation import predictions

SPEC = PreprocessSpec(size_px=SIZE_PX)
STILL = AugmentConfig(rotate_deg=0, translate=0, scale=0, gamma=0, contrast=0, noise=0)


def _rows(root: Path, name: str) -> dict[str, Row]:
    return {row.image.split("/")[-1]: row for row in open_reader(root, name).rows()}


def _cache(root: Path, name: str) -> Cache:
    return open_cache(config(root, name), SPEC, root / "cache")


def _batch(cached: Cache, structure: str) -> tuple[list[str], Batch]:
    """Every radiograph of a cache, unchanged."""
    names = [sample.row.image.split("/")[-1] for sample in cached.samples]
    labels = ((structure,), (structure,), (structure,))
    rows = range(len(names))
    return names, load_batch(cached, rows, labels, STILL, torch.Generator().manual_seed(0))


def _seen(reader: Reader, row: Row) -> tuple[dict[str, NDArray[np.bool_]], dict[str, int]]:
    """Masks in source pixels, and how many boxes of each label evaluation knows."""
    _, geometry = preprocess(read(reader.read(row.image), UNKNOWN, DEFAULT_LIMITS), SPEC)
    masks, _ = predictions._true_masks(predictions._OneAtATime(reader), row, geometry)
    return masks, {
        label: len(found) for label, found in predictions._true_boxes(row, masks).items()
    }


def _rsna(root: Path) -> None:
    boxes: dict[str, list[tuple[int, ...]]] = {
        "a": [(256, 512, 128, 64), (592, 512, 128, 64)],
        "n": [],
        "o": [],
    }
    boxes |= {f"z{i}": [] for i in range(6)}
    write_rsna(root, boxes, {"o": "No Lung Opacity / Not Normal"}, large_dicom())


def test_rsna_boxes_are_masks_and_their_absence_is_known(tmp_path: Path) -> None:
    _rsna(tmp_path)
    names, batch = _batch(_cache(tmp_path, "rsna"), "Lung opacity")
    at = {name: index for index, name in enumerate(names)}
    assert batch.masks_known.all()
    assert batch.boxes_known.all()
    assert batch.masks.sum(dim=(1, 2, 3))[at["a.dcm"]] == 2 * 8 * 4  # 1024 pixels become 64
    assert batch.masks[at["a.dcm"], 0, 32:36, 16:24].all()
    assert len(batch.boxes[at["a.dcm"]][0]) == 2
    assert batch.boxes[at["a.dcm"]][0][0].tolist() == pytest.approx([0.25, 0.5, 0.375, 0.5625])
    assert not batch.masks[at["o.dcm"]].any()
    assert batch.boxes[at["o.dcm"]] == {}


def test_rsna_in_source_pixels_and_as_findings(tmp_path: Path) -> None:
    _rsna(tmp_path)
    reader, rows = open_reader(tmp_path, "rsna"), _rows(tmp_path, "rsna")
    masks, boxes = _seen(reader, rows["a.dcm"])
    assert masks["Lung opacity"].sum() == 2 * 128 * 64
    assert masks["Lung opacity"][512:576, 256:384].all()
    assert boxes == {"Lung opacity": 2}
    masks, boxes = _seen(reader, rows["o.dcm"])
    assert masks["Lung opacity"].shape == (1024, 1024)
    assert not masks["Lung opacity"].any()
    assert boxes == {"Lung opacity": 0}
    assert [truth(rows[f"{name}.dcm"])["Pneumonia"] for name in "ano"] == [True, False, False]


def test_siim_masks_of_an_image_are_joined_and_their_absence_is_known(tmp_path: Path) -> None:
    square = "".join(f"{512 if i else 262400} 512 " for i in range(256))  # columns 256 to 511
    codes = [("two", square), ("two", "0 1024"), ("none", "-1"), ("none2", " -1")]
    write_siim(tmp_path, codes + [(f"z{i}", "-1") for i in range(8)], large_dicom())
    reader, rows = open_reader(tmp_path, "siim"), _rows(tmp_path, "siim")
    mask = read_mask(reader.read(rows["two.dcm"].masks["Pneumothorax"])) > 191
    assert mask.sum() == 256 * 512 + 1024
    assert mask[256:768, 256:512].all()
    assert mask[:, 0].all()
    assert _seen(reader, rows["two.dcm"])[1] == {"Pneumothorax": 2}
    assert _seen(reader, rows["none.dcm"])[1] == {"Pneumothorax": 0}
    names, batch = _batch(_cache(tmp_path, "siim"), "Pneumothorax")
    assert batch.masks_known.all()
    assert batch.boxes_known.all()
    assert batch.findings.sum() == 1
    assert batch.masks.sum(dim=(1, 2, 3))[names.index("two.dcm")] >= 16 * 32
    assert batch.masks.sum() == batch.masks[names.index("two.dcm")].sum()


def test_object_cxr_shapes_are_boxes_and_masks(tmp_path: Path) -> None:
    annotations = {"a.jpg": "0 4 4 20 12;1 30 30 50 60", "n.jpg": ""}
    write_object_cxr(tmp_path, annotations | {f"{i}.jpg": "" for i in range(6)}, {"d.jpg": ""})
    reader, rows = open_reader(tmp_path, "object_cxr"), _rows(tmp_path, "object_cxr")
    masks, boxes = _seen(reader, rows["a.jpg"])
    assert masks["Foreign object"][4:12, 4:20].all()
    assert masks["Foreign object"].sum() == pytest.approx(16 * 8 + np.pi * 10 * 15, rel=0.02)
    assert boxes == {"Foreign object": 2}
    names, batch = _batch(_cache(tmp_path, "object_cxr"), "Foreign object")
    here = names.index("a.jpg")
    assert batch.masks_known.all()
    assert batch.boxes_known.all()
    assert torch.equal(batch.masks[here, 0].bool(), torch.from_numpy(masks["Foreign object"]))
    expected = torch.tensor([[4, 4, 20, 12], [30, 30, 50, 60]]) / SIZE_PX
    assert torch.allclose(batch.boxes[here][0], expected)
    assert [truth(rows[name]) for name in ("a.jpg", "n.jpg")] == [
        {"Foreign object": True},
        {"Foreign object": False},
    ]


def test_a_shape_is_drawn_on_the_picture_as_its_exif_orientation_shows_it(tmp_path: Path) -> None:
    write_object_cxr(tmp_path, {f"{i}.jpg": "0 1 1 9 9" for i in range(8)})
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # the first row is shown at the right
    Image.new("L", (64, 32)).save(tmp_path / "train/3.jpg", exif=exif)
    reader, rows = open_reader(tmp_path, "object_cxr"), _rows(tmp_path, "object_cxr")
    assert read(reader.read(rows["3.jpg"].image), UNKNOWN, DEFAULT_LIMITS).pixels.shape == (64, 32)
    assert read_mask(reader.read(rows["3.jpg"].masks["Foreign object"])).shape == (64, 32)


def test_an_image_without_a_finding_takes_no_room_for_its_mask(tmp_path: Path) -> None:
    write_object_cxr(tmp_path, {f"{i}.jpg": "" for i in range(8)})
    cached = _cache(tmp_path, "object_cxr")
    assert not (cached.folder / "masks.npy").exists()
    assert all(sample.known == {"Foreign object"} for sample in cached.samples)


def test_chexpert_counts_uncertain_labels_as_the_five_do(tmp_path: Path) -> None:
    labels = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
    train = [
        frontal("train", 1) | dict.fromkeys(labels, -1.0),
        frontal("train", 2) | dict.fromkeys(labels, 1.0),
        frontal("train", 3, Edema=0.0, Pneumothorax=-1.0),
    ]
    write_chexpert(tmp_path, train, [frontal("valid", 9)])
    found = [truth(row) for row in open_reader(tmp_path, "chexpert_competition").rows()]
    assert [list(one.values()) for one in found] == [
        [True, False, False, True, True],
        [True] * 5,
        [False] * 5,
        [False] * 5,
    ]
    assert all(tuple(one) == labels for one in found)


def test_covidx_has_three_findings_that_exclude_each_other(tmp_path: Path) -> None:
    lines = [f"{i} {i}.png {kind} s" for i, kind in enumerate(COVIDX_FINDINGS)] * 3
    write_covidx(tmp_path, lines[:8], ["t t.png COVID-19 s"])
    rows = _rows(tmp_path, "covidx")
    assert [list(truth(rows[f"{i}.png"]).values()) for i in range(3)] == np.eye(3).tolist()
    assert tuple(truth(rows["t.png"])) == tuple(COVIDX_FINDINGS.values())


def test_cxr14_has_fourteen_labels_and_the_boxes_that_were_drawn(tmp_path: Path) -> None:
    images = [("a.png", "1", "Effusion|Mass"), ("b.png", "2", "No Finding")]
    more = [(f"{i}.png", str(i + 3), "Pneumothorax") for i in range(18)]
    write_cxr14(tmp_path, images + more, ["17.png"])
    columns = ("Image Index", "Finding Label", "Bbox [x", "y", "w", "h]")
    values = ("0.png", "Pneumothorax", "8.0", "16.5", "10", "20")
    write_csv(tmp_path / "BBox_List_2017.csv", columns, [dict(zip(columns, values, strict=True))])
    rows = _rows(tmp_path, "cxr14")
    present = {name for name, is_there in truth(rows["a.png"]).items() if is_there}
    assert present == {"Effusion", "Mass"}
    assert tuple(truth(rows["b.png"])) == NIH_FINDINGS
    assert not any(truth(rows["b.png"]).values())
    assert rows["0.png"].boxes == (("Pneumothorax", (8.0, 16.5, 18.0, 36.5)),)
    names, batch = _batch(_cache(tmp_path, "cxr14"), "Pneumothorax")
    assert {name for name, known in zip(names, batch.boxes_known, strict=True) if known} == {
        "0.png"
    }


def test_labels_that_no_code_fits_have_none() -> None:
    names = (*NIH_FINDINGS, *COVIDX_FINDINGS.values(), *UNCERTAIN_AS_PRESENT, *STRUCTURES)
    without = {name for name in names if code_of(name) is None}
    assert without == {"Hernia", "Pleural_Thickening", "Pneumonia other than COVID-19"}


def test_bits_of_masks_keep_their_meaning() -> None:
    assert STRUCTURES[:4] == ("Left lung", "Right lung", "Cardiomediastinum", "Lung opacity")
    assert [1 << STRUCTURES.index(n) for n in ("Pneumothorax", "Foreign object")] == [16, 32]
    assert IGNORE == 128
