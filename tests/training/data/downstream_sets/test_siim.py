"""SIIM-ACR: masks of several lines, both protocols, and malformed codes."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from tests.builders.datasets import opened_sets
from tests.builders.datasets.opened_sets import (
    cached,
    evaluated,
    images_of,
    left_out,
    rows_by_name,
    used_rows,
    whole_batch,
)
from tests.builders.datasets.tiny_downstream import large_dicom, write_siim
from training.data.annotations.masks import read_mask
from training.data.catalog import open_reader
from training.data.rows.dataset_files import DataError

ESCAPE = "../../../etc/passwd"


def test_siim_masks_of_an_image_are_joined_and_their_absence_is_known(tmp_path: Path) -> None:
    square = "".join(f"{512 if i else 262400} 512 " for i in range(256))  # columns 256 to 511
    codes = [("two", square), ("two", "0 1024"), ("none", "-1"), ("none2", " -1")]
    write_siim(tmp_path, codes + [(f"z{i}", "-1") for i in range(8)], large_dicom())
    reader, rows = open_reader(tmp_path, "siim"), rows_by_name(tmp_path, "siim")
    mask = read_mask(reader.read(rows["two.dcm"].masks["Pneumothorax"][0])) > 191
    assert mask.sum() == 256 * 512 + 1024
    assert mask[256:768, 256:512].all()
    assert mask[:, 0].all()
    assert evaluated(reader, rows["two.dcm"])[1] == {"Pneumothorax": 2}
    assert evaluated(reader, rows["none.dcm"])[1] == {"Pneumothorax": 0}
    names, batch = whole_batch(cached(tmp_path, "siim"), "Pneumothorax")
    assert batch.masks_known.all()
    assert batch.boxes_known.all()
    assert batch.findings.sum() == 1
    assert batch.masks.sum(dim=(1, 2, 3))[names.index("two.dcm")] >= 16 * 32
    assert batch.masks.sum() == batch.masks[names.index("two.dcm")].sum()


def _two_masks_each(count: int) -> list[tuple[str, str]]:
    """Images with two masks, 10 pixels apart in the first two columns."""
    return [(f"i{i}", f"{1024 * k + 10} 5") for i in range(count) for k in range(2)]


def test_siim_as_published_has_an_image_in_two_splits_with_a_part_of_its_mask(
    tmp_path: Path,
) -> None:
    codes = _two_masks_each(20)
    write_siim(tmp_path, codes)
    train, rest = train_test_split(range(40), test_size=0.3, random_state=0)
    test, valid = train_test_split(rest, test_size=0.5, random_state=0)
    rows = used_rows(tmp_path, "siim", "mgca")
    for split, lines in (("train", train), ("valid", valid), ("test", test)):
        assert {r.patient_id for r in rows if r.split == split} == {codes[i][0] for i in lines}
    leaked = [r for r in rows if r.image in images_of(rows, "train") & images_of(rows, "test")]
    assert leaked
    by_split = {row.split: row.boxes for row in rows if row.image == leaked[0].image}
    assert len(by_split["train"]) == len(by_split["test"]) == 1
    assert by_split["train"] != by_split["test"]


def test_siim_sound_has_each_image_once_with_its_whole_mask(tmp_path: Path) -> None:
    write_siim(tmp_path, _two_masks_each(20))
    rows = used_rows(tmp_path, "siim", "sound")
    assert len({row.image for row in rows}) == len(rows) == 20
    assert Counter(row.split for row in rows) == {"train": 14, "valid": 3, "test": 3}
    assert all(len(row.boxes) == 2 for row in rows)


def test_siim_as_published_trains_with_as_many_negatives_as_positives(tmp_path: Path) -> None:
    codes = [(f"p{i}", "10 5") for i in range(10)] + [(f"n{i}", "-1") for i in range(40)]
    write_siim(tmp_path, codes)
    rows = opened_sets.rows(tmp_path, "siim", "mgca")
    train = [row for row in rows if row.split == "train"]
    used = [row for row in train if not row.left_out]
    positives = [row for row in used if row.labels]
    assert len(used) == 2 * len(positives)
    order = [codes[i][0] for i in train_test_split(range(50), test_size=0.3, random_state=0)[0]]
    negatives = [name for name in order if name[0] == "n"]
    chosen = np.random.RandomState(42).choice(negatives, len(positives), replace=False)
    assert {row.patient_id for row in used if not row.labels} == set(chosen)
    assert {row.left_out for row in train} == {"", "not among the negatives that are drawn"}
    assert not any(row.left_out for row in rows if row.split != "train")
    assert not any(row.left_out for row in opened_sets.rows(tmp_path, "siim", "sound"))


def test_siim_as_published_counts_no_line_with_a_space_as_negative(tmp_path: Path) -> None:
    codes = [(f"p{i}", "10 5") for i in range(10)] + [(f"n{i}", " -1") for i in range(40)]
    write_siim(tmp_path, codes)
    rows = opened_sets.rows(tmp_path, "siim", "mgca")
    assert not any(row.left_out for row in rows)
    assert not any(row.labels or row.masks for row in rows if row.patient_id[0] == "n")


def test_siim_malformed_codes_are_left_out(tmp_path: Path) -> None:
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
    assert left_out(tmp_path, "siim") == {
        **dict.fromkeys(("odd.dcm", "words.dcm", "empty.dcm"), "malformed run-length code"),
        "half.dcm": "malformed run-length code",
        "past.dcm": "run-length code past the image",
        "billion.dcm": "malformed run-length code",
        "billions.dcm": "malformed run-length code",
        "both.dcm": "marked both with and without pneumothorax",
        "passwd.dcm": "the path leads out of the data set",
        "gone.dcm": "missing file",
    }


def test_an_empty_table_is_an_error_with_a_message(tmp_path: Path) -> None:
    write_siim(tmp_path, [])
    (tmp_path / "dicom-images-train").mkdir()
    with pytest.raises(DataError, match="0 rows are too few to be split"):
        list(open_reader(tmp_path, "siim").rows())
