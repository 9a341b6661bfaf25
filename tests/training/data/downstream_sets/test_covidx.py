"""COVIDx: three classes, both protocols, and malformed lines."""

from collections import Counter
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from tests.builders.datasets import opened_sets
from tests.builders.datasets.opened_sets import images_of, left_out, rows_by_name, used_rows
from tests.builders.datasets.tiny_downstream import write_covidx
from tests.builders.datasets.tiny_sets import write
from training.data.downstream_sets.covidx import CLASSES

ESCAPE = "../../../etc/passwd"


def test_covidx_has_three_findings_that_exclude_each_other(tmp_path: Path) -> None:
    lines = [f"{i} {i}.png {kind} s" for i, kind in enumerate(CLASSES)] * 3
    write_covidx(tmp_path, lines[:8], ["t t.png COVID-19 s"])
    rows = rows_by_name(tmp_path, "covidx")
    assert [list(rows[f"{i}.png"].findings.values()) for i in range(3)] == np.eye(3).tolist()
    names = ("No finding", "Pneumonia other than COVID-19", "COVID-19")
    assert tuple(rows["t.png"].findings) == names


def _covid_lines() -> list[str]:
    return [f"{i // 4} {i}.png normal rsna" for i in range(40)]


def test_covidx_as_published_splits_the_images_of_a_patient(tmp_path: Path) -> None:
    write_covidx(tmp_path, _covid_lines(), ["t x.png COVID-19 sirm"])
    rows = used_rows(tmp_path, "covidx", "mgca")
    _, valid = train_test_split(range(40), train_size=0.8, random_state=0)
    assert images_of(rows, "valid") == {f"train/{i}.png" for i in valid}
    patients = Counter(p for p, _ in {(row.patient_id, row.split) for row in rows})
    assert max(patients.values()) == 2


def test_covidx_sound_keeps_patients_whole_and_out_of_the_test(tmp_path: Path) -> None:
    test = ["3 x.png COVID-19 rsna", "4 y.png COVID-19 sirm"]  # patient 3 is of the same source
    write_covidx(tmp_path, _covid_lines(), test)
    rows = opened_sets.rows(tmp_path, "covidx", "sound")
    reasons = {row.image: row.left_out for row in rows if row.left_out}
    assert reasons == {f"train/{i}.png": "patient of the test list" for i in range(12, 16)}
    used = [row for row in rows if not row.left_out]
    assert len({(row.patient_id, row.split) for row in used}) == len({r.patient_id for r in used})
    assert len([row for row in rows if row.split == "valid"]) == 8


def test_covidx_malformed_lines_are_left_out(tmp_path: Path) -> None:
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
    assert left_out(tmp_path, "covidx") == {
        "1 a.png normal": "malformed line",
        "1  b.png normal s": "malformed line",
        "1 d e.png normal s": "malformed line",
        "c.png": "unknown class",
        "passwd": "the path leads out of the data set",
        "f.png": "listed twice",
        "g0.png": "unreadable (UnsupportedEncoding)",
    }
