"""RSNA: boxes, masks, the published split, and malformed lines."""

from pathlib import Path

import pytest
from sklearn.model_selection import train_test_split

from tests.builders.datasets.opened_sets import (
    cached,
    evaluated,
    left_out,
    rows_by_name,
    used_rows,
    whole_batch,
)
from tests.builders.datasets.tiny_downstream import large_dicom, write_rsna
from training.config.run import Protocol
from training.data.catalog import open_reader

ESCAPE = "../../../etc/passwd"


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
    names, batch = whole_batch(cached(tmp_path, "rsna"), "Lung opacity")
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
    reader, rows = open_reader(tmp_path, "rsna"), rows_by_name(tmp_path, "rsna")
    masks, boxes = evaluated(reader, rows["a.dcm"])
    assert masks["Lung opacity"].sum() == 2 * 128 * 64
    assert masks["Lung opacity"][512:576, 256:384].all()
    assert boxes == {"Lung opacity": 2}
    masks, boxes = evaluated(reader, rows["o.dcm"])
    assert masks["Lung opacity"].shape == (1024, 1024)
    assert not masks["Lung opacity"].any()
    assert boxes == {"Lung opacity": 0}
    assert [rows[f"{name}.dcm"].findings["Pneumonia"] for name in "ano"] == [True, False, False]


@pytest.mark.parametrize("protocol", ["sound", "mgca"])
def test_rsna_is_split_as_scikit_learn_splits_sorted_patients(
    protocol: Protocol, tmp_path: Path
) -> None:
    names = [f"{(i * 37) % 100:03d}" for i in range(20)]
    write_rsna(tmp_path, dict.fromkeys(names, ()))
    train, rest = train_test_split(sorted(names), test_size=8, random_state=0)
    test, valid = train_test_split(rest, test_size=0.5, random_state=0)
    rows = used_rows(tmp_path, "rsna", protocol)
    assert [row.patient_id for row in rows] == names
    for split, expected in (("train", train), ("valid", valid), ("test", test)):
        assert {row.patient_id for row in rows if row.split == split} == set(expected)


def test_rsna_malformed_boxes_are_left_out(tmp_path: Path) -> None:
    boxes: dict[str, list[tuple[object, ...]]] = {
        "words": [("x", "y", 1, 1)],
        "nan": [("nan", 1, 1, 1)],
        "inf": [(1, 1, "inf", 1)],
        "huge": [("1e308", 1, "1e308", 1)],
        "flat": [(1, 1, 0, 5)],
        "negative": [(1, 1, -4, 5)],
        "outside": [(2000, 10, 50, 50)],
        "before": [(-50, 10, 50, 50)],
        "empty": [("", "", "", "")],
        ESCAPE: [(1, 1, 5, 5)],
        "overhangs": [(1000, 1000, 100, 100)],
        "twice": [(1, 1, 5, 5), (1, 1, 5, 5)],
    }
    write_rsna(tmp_path, boxes)
    assert left_out(tmp_path, "rsna") == {
        **dict.fromkeys(
            ("words.dcm", "nan.dcm", "inf.dcm", "flat.dcm", "negative.dcm"),
            "malformed box",
        ),
        "empty.dcm": "malformed box",
        "huge.dcm": "box outside of the image",
        "outside.dcm": "box outside of the image",
        "before.dcm": "box outside of the image",
        # Its place is in the 1024 px of the release, but outside of the miniature image.
        "overhangs.dcm": "a box lies outside its image",
        "passwd.dcm": "the path leads out of the data set",
    }
    rows = {row.patient_id: row for row in open_reader(tmp_path, "rsna").rows()}
    assert rows["overhangs"].boxes == (("Lung opacity", (1000.0, 1000.0, 1024.0, 1024.0)),)
    assert len(rows["twice"].boxes) == 1


def test_rsna_contradictory_or_malformed_targets_are_left_out(tmp_path: Path) -> None:
    write_rsna(tmp_path, {f"{i}": () for i in range(8)})
    with (tmp_path / "stage_2_train_labels.csv").open("a") as file:
        file.write("0,1,1,5,5,1\n1,1,1,5,5,yes\n2,,,,,\n3\n")
    reasons = left_out(tmp_path, "rsna")
    assert reasons.pop("0.dcm") == "marked both with and without opacity"
    assert reasons == dict.fromkeys(("1.dcm", "2.dcm", "3.dcm"), "malformed target")
