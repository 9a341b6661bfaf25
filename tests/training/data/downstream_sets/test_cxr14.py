"""ChestX-ray14: labels, boxes, the official test list, and malformed lines."""

from pathlib import Path

import pytest

from tests.builders.datasets.opened_sets import (
    cached,
    images_of,
    left_out,
    rows_by_name,
    used_rows,
    whole_batch,
)
from tests.builders.datasets.tiny_downstream import write_cxr14
from tests.builders.datasets.tiny_sets import write, write_csv
from training.config.run import Protocol
from training.data.catalog import open_reader
from training.data.downstream_sets.cxr14 import FINDINGS
from training.data.rows.dataset_files import MissingData

ESCAPE = "../../../etc/passwd"


def test_cxr14_has_fourteen_labels_and_the_boxes_that_were_drawn(tmp_path: Path) -> None:
    images = [("a.png", "1", "Effusion|Mass"), ("b.png", "2", "No Finding")]
    more = [(f"{i}.png", str(i + 3), "Pneumothorax") for i in range(18)]
    write_cxr14(tmp_path, images + more, ["17.png"])
    columns = ("Image Index", "Finding Label", "Bbox [x", "y", "w", "h]")
    values = ("0.png", "Pneumothorax", "8.0", "16.5", "10", "20")
    write_csv(tmp_path / "BBox_List_2017.csv", columns, [dict(zip(columns, values, strict=True))])
    rows = rows_by_name(tmp_path, "cxr14")
    present = {name for name, is_there in rows["a.png"].findings.items() if is_there}
    assert present == {"Effusion", "Mass"}
    assert tuple(rows["b.png"].findings) == FINDINGS
    assert not any(rows["b.png"].findings.values())
    assert rows["0.png"].boxes == (("Pneumothorax", (8.0, 16.5, 18.0, 36.5)),)
    names, batch = whole_batch(cached(tmp_path, "cxr14"), "Pneumothorax")
    known = {name for name, is_known in zip(names, batch.boxes_known, strict=True) if is_known}
    assert known == {"0.png", "a.png", "b.png"}  # drawn, and known to be without the finding


@pytest.mark.parametrize("protocol", ["sound", "mgca"])
def test_cxr14_tests_on_the_official_list(protocol: Protocol, tmp_path: Path) -> None:
    images = [(f"{i:03d}.png", str(i // 2), "No Finding") for i in range(60)]
    write_cxr14(tmp_path, images, [image for image, _, _ in images[40:]])
    rows = used_rows(tmp_path, "cxr14", protocol)
    assert len(images_of(rows, "test")) == 20
    assert len(images_of(rows, "valid")) == 4
    shared = {r.patient_id for r in rows if r.split == "train"} & {
        r.patient_id for r in rows if r.split == "valid"
    }
    assert bool(shared) == (protocol == "mgca")


def test_cxr14_malformed_lines_are_left_out(tmp_path: Path) -> None:
    images = [
        ("words.png", "1", "Effusion|Something"),
        ("none.png", "1", ""),
        ("box.png", "1", "Mass"),
        ("nan.png", "1", "Mass"),
        ("both.png", "1", "Mass"),
        ("lost.png", "1", "Mass"),
        (ESCAPE, "1", "Mass"),
        *((f"{i}.png", str(i), "Mass") for i in range(12)),
        ("3.png", "3", "Mass"),
    ]
    write_cxr14(tmp_path, images, ["lost.png", "1.png"])
    write(tmp_path / "test_list.txt", b"1.png\nboth.png\nunheard-of.png\n")
    columns = ("Image Index", "Finding Label", "Bbox [x", "y", "w", "h]")
    boxes = [("box.png", "Mass", 1, 1, -3, 4), ("nan.png", "Mass", "nan", 1, 3, 4)]
    lines = [dict(zip(columns, box, strict=True)) for box in boxes]
    write_csv(tmp_path / "BBox_List_2017.csv", columns, lines)
    assert left_out(tmp_path, "cxr14") == {
        "words.png": "unknown label",
        "none.png": "unknown label",
        "box.png": "malformed box",
        "nan.png": "malformed box",
        "both.png": "in both lists",
        "lost.png": "in neither list",
        "passwd": "the path leads out of the data set",
        "3.png": "listed twice",
    }


def test_only_missing_parts_are_named(tmp_path: Path) -> None:
    write_cxr14(tmp_path, [(f"{i}.png", "1", "Mass") for i in range(9)])
    (tmp_path / "test_list.txt").unlink()
    (tmp_path / "images_007/images").rmdir()
    (tmp_path / "images_007").rmdir()
    with pytest.raises(MissingData, match=r": test_list.txt; images_007/\. It comes"):
        open_reader(tmp_path, "cxr14")
