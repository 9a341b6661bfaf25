"""Images and texts in one CSV: splits by patient, columns and encodings."""

from collections import Counter
from pathlib import Path

import pytest

from tests.builders.datasets import tiny_sets
from tests.builders.datasets.tiny_sets import write
from training.data.catalog import open_reader
from training.data.rows.dataset_files import DataError


def test_pairs_without_a_split_are_divided_by_patient(tmp_path: Path) -> None:
    lines = [
        {"image": f"{i}.png", "text": "Heart is normal.", "patient": f"p{i // 2}"}
        for i in range(2000)
    ]
    tiny_sets.write_pairs(tmp_path, lines)
    rows = list(open_reader(tmp_path, "pairs").rows())
    assert len({(row.patient_id, row.split) for row in rows}) == 1000
    counts = Counter(row.split for row in rows)
    assert 1700 < counts["train"] < 1900
    assert counts["valid"] > 60 < counts["test"]
    tiny_sets.write_pairs(tmp_path, lines[::-1])
    assert {r.image: r.split for r in open_reader(tmp_path, "pairs").rows()} == {
        r.image: r.split for r in rows
    }


def test_pairs_with_some_splits_keep_patients_together(tmp_path: Path) -> None:
    given = [("a", "val"), ("a", ""), ("b", "train"), ("b", "test"), ("c", "dev"), ("", "")]
    lines = [
        {"image": f"{i}.png", "text": "Heart is normal.", "patient": patient, "split": split}
        for i, (patient, split) in enumerate(given)
    ]
    tiny_sets.write_pairs(tmp_path, lines)
    rows = list(open_reader(tmp_path, "pairs").rows())
    assert [row.split for row in rows[:2]] == ["valid", "valid"]
    assert [row.left_out for row in rows[2:]] == [
        *["patient in several splits"] * 2,
        "unknown split",
        "neither patient nor split",
    ]


def test_pairs_without_a_column_are_refused_by_its_name(tmp_path: Path) -> None:
    tiny_sets.write_pairs(tmp_path, [{"image": "0.png", "report": "Normal.", "patient": "1"}])
    with pytest.raises(DataError, match="no column text; its columns are: image, report"):
        list(open_reader(tmp_path, "pairs").rows())


def test_pairs_in_windows_1252_with_short_lines_are_read(tmp_path: Path) -> None:
    text = b"image,text,patient,split\r\n0.png,Caf\xe9 au lait \x96 stable,1,train\r\n1.png\r\n"
    write(tmp_path / "pairs.csv", text)
    first, second = open_reader(tmp_path, "pairs").rows()
    assert first.text == "Café au lait – stable"
    assert second.left_out == "neither patient nor split"
