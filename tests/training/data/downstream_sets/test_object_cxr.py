"""Object-CXR: shapes as boxes and masks, the split, and malformed annotations."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from sklearn.model_selection import train_test_split

from radiograph.readers.read import read
from tests.builders.datasets.opened_sets import (
    cached,
    evaluated,
    images_of,
    left_out,
    rows_by_name,
    used_rows,
    whole_batch,
)
from tests.builders.datasets.tiny_downstream import write_object_cxr
from tests.builders.datasets.tiny_sets import write, write_csv
from tests.builders.training.runs.tiny_runs import SIZE_PX
from training.config.run import Protocol
from training.data.annotations.masks import read_mask
from training.data.catalog import open_reader

ESCAPE = "../../../etc/passwd"


def test_object_cxr_shapes_are_boxes_and_masks(tmp_path: Path) -> None:
    annotations = {"a.jpg": "0 4 4 20 12;1 30 30 50 60", "n.jpg": ""}
    write_object_cxr(tmp_path, annotations | {f"{i}.jpg": "" for i in range(6)}, {"d.jpg": ""})
    reader, rows = open_reader(tmp_path, "object_cxr"), rows_by_name(tmp_path, "object_cxr")
    masks, boxes = evaluated(reader, rows["a.jpg"])
    assert masks["Foreign object"][4:12, 4:20].all()
    assert masks["Foreign object"].sum() == pytest.approx(16 * 8 + np.pi * 10 * 15, rel=0.02)
    assert boxes == {"Foreign object": 2}
    names, batch = whole_batch(cached(tmp_path, "object_cxr"), "Foreign object")
    here = names.index("a.jpg")
    assert batch.masks_known.all()
    assert batch.boxes_known.all()
    assert torch.equal(batch.masks[here, 0].bool(), torch.from_numpy(masks["Foreign object"]))
    expected = torch.tensor([[4, 4, 20, 12], [30, 30, 50, 60]]) / SIZE_PX
    assert torch.allclose(batch.boxes[here][0], expected)
    assert [rows[name].findings for name in ("a.jpg", "n.jpg")] == [
        {"Foreign object": True},
        {"Foreign object": False},
    ]


def test_shapes_are_drawn_in_the_exif_orientation(tmp_path: Path) -> None:
    write_object_cxr(tmp_path, {f"{i}.jpg": "0 1 1 9 9" for i in range(8)})
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # the first row is shown at the right
    Image.new("L", (64, 32)).save(tmp_path / "train/3.jpg", exif=exif)
    reader, rows = open_reader(tmp_path, "object_cxr"), rows_by_name(tmp_path, "object_cxr")
    assert read(reader.read(rows["3.jpg"].image)).pixels.shape == (64, 32)
    assert read_mask(reader.read(rows["3.jpg"].masks["Foreign object"][0])).shape == (64, 32)


def test_an_image_without_a_finding_stores_no_mask(tmp_path: Path) -> None:
    write_object_cxr(tmp_path, {f"{i}.jpg": "" for i in range(8)})
    cache = cached(tmp_path, "object_cxr")
    assert not (cache.folder / "masks.npy").exists()
    assert all(sample.known == {"Foreign object"} for sample in cache.samples)


@pytest.mark.parametrize("protocol", ["sound", "mgca"])
def test_object_cxr_validates_with_a_fifth_of_train_and_tests_on_dev(
    protocol: Protocol, tmp_path: Path
) -> None:
    write_object_cxr(tmp_path, {f"{i}.jpg": "" for i in range(20)}, {"d.jpg": "0 1 1 9 9"})
    rows = used_rows(tmp_path, "object_cxr", protocol)
    _, valid = train_test_split(range(20), test_size=4, random_state=0)
    assert images_of(rows, "valid") == {f"train/{i}.jpg" for i in valid}
    assert images_of(rows, "test") == {"dev/d.jpg"}


def test_object_cxr_malformed_annotations_are_left_out(tmp_path: Path) -> None:
    annotations = {
        "kind.jpg": "7 1 1 5 5",
        "odd.jpg": "2 1 1 5 5 9",
        "nan.jpg": "2 1 1 5 nan 9 9",
        "huge.jpg": "0 1 1 1e30 5",
        "flat.jpg": "0 1 1 1 5",
        "outside.jpg": "0 1 1 5 5;0 300 1 305 5",
        "flood.jpg": "0 1 1 5 5;" * 2000,
        ESCAPE: "0 1 1 5 5",
        "gone.jpg": "0 1 1 5 5",
        "text.jpg": "0 1 1 5 5",
        **{f"{i}.jpg": "1 1 1 9 9" for i in range(9)},
    }
    write_object_cxr(tmp_path, annotations)
    (tmp_path / "train/gone.jpg").unlink()
    write(tmp_path / "train/text.jpg", b"no image")
    with (tmp_path / "train.csv").open("a") as file:
        file.write("1.jpg,\n")
    write_csv(tmp_path / "test.csv", ("image_name", "annotation"), [{"image_name": "t.jpg"}])
    assert left_out(tmp_path, "object_cxr") == {
        **dict.fromkeys(("kind.jpg", "odd.jpg", "nan.jpg", "huge.jpg"), "malformed shape"),
        "flat.jpg": "shape without an area",
        "outside.jpg": "annotation outside of the image",
        "flood.jpg": "too many shapes",
        "passwd": "the path leads out of the data set",
        "gone.jpg": "missing file",
        "text.jpg": "unreadable (UnsupportedEncoding)",
        "1.jpg": "listed twice",
        "t.jpg": "in no published split",
    }
