"""Radiograph tables: splits and patients as other people write them."""

from pathlib import Path

import pytest

from tests.builders.datasets.tiny_sets import write_csv
from training.data.rows.reader import Row
from training.data.tables.radiograph_table import RadiographTable

COLUMNS = (
    "image", "patient_id", "split", "text", "labels", "view", "sex", "age", "lung_mask",
    "class_masks", "boxes", "licence", "licence_class", "extra",
)  # fmt: skip


def _rows(root: Path, *cells: dict[str, str]) -> list[Row]:
    lines = [
        dict.fromkeys(COLUMNS, "") | {"image": f"own/{i}.png", "licence_class": "open"} | each
        for i, each in enumerate(cells)
    ]
    write_csv(root / "own.csv", COLUMNS, lines)
    (root / "own").mkdir(exist_ok=True)
    return RadiographTable(root, "own").rows()


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"), ("Training", "train"), ("val", "valid"), ("Validation", "valid"),
        ("TEST", "test"), (" test ", "test"),
    ],
)  # fmt: skip
def test_splits_are_known_by_their_usual_names(name: str, split: str, tmp_path: Path) -> None:
    (row,) = _rows(tmp_path, {"patient_id": "a", "split": name})
    assert (row.split, row.left_out) == (split, "")


def test_an_unknown_split_is_left_out_with_the_reason(tmp_path: Path) -> None:
    named, unnamed = _rows(
        tmp_path, {"patient_id": "a", "split": "holdout"}, {"patient_id": "b", "split": ""}
    )
    assert (named.split, named.left_out) == ("", "unknown split")
    assert (unnamed.split, unnamed.left_out) == ("", "neither patient nor split")


def test_no_patient_is_trained_on_and_tested_on(tmp_path: Path) -> None:
    first, second, other = _rows(
        tmp_path,
        {"patient_id": "a", "split": "train"},
        {"patient_id": "a", "split": "test"},
        {"patient_id": "b", "split": "test"},
    )
    assert first.left_out == second.left_out == "patient in several splits"
    assert (other.split, other.left_out) == ("test", "")


def test_rows_without_a_patient_are_patients_of_their_own(tmp_path: Path) -> None:
    rows = _rows(tmp_path, {"split": "train"}, {"split": "test"}, {"split": "test"})
    assert [row.left_out for row in rows] == [""] * 3
    assert len({row.patient_id for row in rows}) == 3
