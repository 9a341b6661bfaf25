"""Broken and hostile downstream data sets: each row is left out by its reason, none is lost."""

import csv
from pathlib import Path

import pytest

from radiograph.preprocess import PreprocessSpec
from tests.builders.training.tiny_downstream import (
    SQUARE,
    frontal,
    write_chexpert,
    write_covidx,
    write_cxr14,
    write_object_cxr,
    write_rsna,
    write_siim,
)
from tests.builders.training.tiny_runs import SIZE_PX
from tests.builders.training.tiny_sets import config, write, write_csv
from training.data.cache.cache import open_cache
from training.data.catalog import DOWNSTREAM, open_reader
from training.data.rows.dataset_files import DataError, MissingData, PathRefused

SPEC = PreprocessSpec(size_px=SIZE_PX)
ESCAPE = "../../../etc/passwd"


def _left_out(root: Path, name: str) -> dict[str, str]:
    """File name -> reason, from the cache's left_out.csv."""
    cached = open_cache(config(root, name), SPEC, root / "cache")
    with cached.manifest.open(newline="") as file:
        return {line["image"].split("/")[-1]: line["reason"] for line in csv.DictReader(file)}


@pytest.mark.parametrize("name", sorted(DOWNSTREAM))
def test_everything_that_is_missing_is_named_at_once(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"missing in .*; .*It comes from"):
        open_reader(tmp_path, name)


def test_only_what_is_missing_is_named(tmp_path: Path) -> None:
    write_cxr14(tmp_path, [(f"{i}.png", "1", "Mass") for i in range(9)])
    (tmp_path / "test_list.txt").unlink()
    (tmp_path / "images_007/images").rmdir()
    (tmp_path / "images_007").rmdir()
    with pytest.raises(MissingData, match=r": test_list.txt; images_007/\. It comes"):
        open_reader(tmp_path, "cxr14")


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("rsna", "stage_2_train_labels.csv"),
        ("rsna", "stage_2_detailed_class_info.csv"),
        ("siim", "train-rle.csv"),
        ("cxr14", "Data_Entry_2017_v2020.csv"),
        ("object_cxr", "train.csv"),
        ("chexpert_competition", "train.csv"),
    ],
)
def test_a_missing_column_is_named(name: str, table: str, tmp_path: Path) -> None:
    for folder in ("stage_2_train_images", "dicom-images-train", "images", "train", "dev", "valid"):
        (tmp_path / folder).mkdir()
    write_rsna(tmp_path, {"a": ()})
    write_siim(tmp_path, [("a", "-1")])
    write_cxr14(tmp_path, [("a.png", "1", "Mass")])
    if name == "object_cxr":
        write_object_cxr(tmp_path, {"a.jpg": ""})
    if name == "chexpert_competition":
        write_chexpert(tmp_path, [frontal("train", 1)], [frontal("valid", 2)])
    write(tmp_path / table, b"something,else\n1,2\n")
    with pytest.raises(DataError, match=r"has no column .*; its columns are: something, else"):
        list(open_reader(tmp_path, name).rows())


def test_rsna_boxes_that_cannot_be_are_left_out(tmp_path: Path) -> None:
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
    assert _left_out(tmp_path, "rsna") == {
        **dict.fromkeys(
            ("words.dcm", "nan.dcm", "inf.dcm", "flat.dcm", "negative.dcm"),
            "malformed box",
        ),
        "empty.dcm": "malformed box",
        "huge.dcm": "box outside of the image",
        "outside.dcm": "box outside of the image",
        "before.dcm": "box outside of the image",
        "passwd.dcm": "the path leads out of the data set",
    }
    rows = {row.patient_id: row for row in open_reader(tmp_path, "rsna").rows()}
    assert rows["overhangs"].boxes == (("Lung opacity", (1000.0, 1000.0, 1024.0, 1024.0)),)
    assert len(rows["twice"].boxes) == 1


def test_rsna_targets_that_contradict_or_are_none_are_left_out(tmp_path: Path) -> None:
    write_rsna(tmp_path, {f"{i}": () for i in range(8)})
    with (tmp_path / "stage_2_train_labels.csv").open("a") as file:
        file.write("0,1,1,5,5,1\n1,1,1,5,5,yes\n2,,,,,\n3\n")
    reasons = _left_out(tmp_path, "rsna")
    assert reasons.pop("0.dcm") == "marked both with and without opacity"
    assert reasons == dict.fromkeys(("1.dcm", "2.dcm", "3.dcm"), "malformed target")


def test_siim_codes_that_cannot_be_are_left_out(tmp_path: Path) -> None:
    codes = [
        ("odd", "1 2 3"),
        ("words", "a b"),
        ("empty", ""),
        ("past", "1048570 7"),
        ("billion", "0 1000000000"),
        ("billions", "0 " + "9" * 5000),
        ("both", "1 2"),
        ("both", "-1"),
        ("half", "1 2"),
        ("half", "nan nan"),
        (ESCAPE, "1 2"),
        ("gone", "-1"),
        *((f"good{i}", "1 2") for i in range(9)),
        ("good1", "1 2"),
    ]
    write_siim(tmp_path, codes)
    next(tmp_path.rglob("gone.dcm")).unlink()
    assert _left_out(tmp_path, "siim") == {
        **dict.fromkeys(("odd.dcm", "words.dcm", "empty.dcm"), "malformed run-length code"),
        "half.dcm": "malformed run-length code",
        "past.dcm": "run-length code past the image",
        "billion.dcm": "malformed run-length code",
        "billions.dcm": "malformed run-length code",
        "both.dcm": "marked both with and without pneumothorax",
        "passwd.dcm": "the path leads out of the data set",
        "gone.dcm": "missing file",
    }


def test_covidx_lines_that_cannot_be_are_left_out(tmp_path: Path) -> None:
    lines = [
        "1 a.png normal",
        "1  b.png normal s",
        "1 c.png positive s",
        "1 d e.png normal s",
        f"1 {ESCAPE} normal s",
        "2 f.png normal s",
        "2 f.png normal s",
        *(f"{i} g{i}.png pneumonia s" for i in range(9)),
    ]
    write_covidx(tmp_path, lines, ["t t.png COVID-19 s"])
    write(tmp_path / "train/g0.png", b"GIF89a")
    assert _left_out(tmp_path, "covidx") == {
        "1 a.png normal": "malformed line",
        "1  b.png normal s": "malformed line",
        "1 d e.png normal s": "malformed line",
        "c.png": "unknown class",
        "passwd": "the path leads out of the data set",
        "f.png": "listed twice",
        "g0.png": "unreadable (UnsupportedEncoding)",
    }


def test_cxr14_lines_that_cannot_be_are_left_out(tmp_path: Path) -> None:
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
    assert _left_out(tmp_path, "cxr14") == {
        "words.png": "unknown label",
        "none.png": "unknown label",
        "box.png": "malformed box",
        "nan.png": "malformed box",
        "both.png": "in both lists",
        "lost.png": "in neither list",
        "passwd": "the path leads out of the data set",
        "3.png": "listed twice",
    }


def test_object_cxr_annotations_that_cannot_be_are_left_out(tmp_path: Path) -> None:
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
    assert _left_out(tmp_path, "object_cxr") == {
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


def test_chexpert_lines_that_cannot_be_are_left_out(tmp_path: Path) -> None:
    train = [frontal("train", i) for i in range(9)] + [frontal("train", 3), frontal("train", 90)]
    train[4] |= {"side": "Lateral"}
    train[5] |= {"Edema": "perhaps"}
    write_chexpert(tmp_path, train, [frontal("valid", 90)])
    with (tmp_path / "train.csv").open("a") as file:
        file.write(f"{ESCAPE},,,Frontal,AP\n")
    rows = list(open_reader(tmp_path, "chexpert_competition").rows())
    assert [row.reason_left_out for row in rows[:9]] == [
        *("", "", "", "", "lateral view", "malformed label", "", "", "")
    ]
    cached = open_cache(config(tmp_path, "chexpert_competition"), SPEC, tmp_path / "cache")
    assert cached.left_out == {
        "lateral view": 1,
        "malformed label": 1,
        "listed twice": 1,
        "patient of the test split": 1,
        "the path leads out of the data set": 1,
    }


@pytest.mark.parametrize("name", ["rsna", "siim", "object_cxr"])
@pytest.mark.parametrize("path", ["mask:" + ESCAPE, "mask:", "mask:train/" + ESCAPE, ESCAPE])
def test_no_path_leads_out_of_a_data_set(name: str, path: str, tmp_path: Path) -> None:
    write_rsna(tmp_path / "rsna", {f"{i}": () for i in range(8)}, image=SQUARE)
    write_siim(tmp_path / "siim", [(f"{i}", "-1") for i in range(8)])
    write_object_cxr(tmp_path / "object_cxr", {f"{i}.jpg": "" for i in range(8)})
    with pytest.raises((PathRefused, FileNotFoundError)):
        open_reader(tmp_path, name).read(path)


def test_an_empty_table_is_an_error_with_a_message(tmp_path: Path) -> None:
    write_siim(tmp_path, [])
    (tmp_path / "dicom-images-train").mkdir()
    with pytest.raises(DataError, match="0 rows are too few to be split"):
        list(open_reader(tmp_path, "siim").rows())
