"""CheXpert with the labels of its competition: uncertain labels, both protocols, bad lines."""

from collections import Counter
from pathlib import Path

import numpy as np

from tests.builders.datasets import opened_sets
from tests.builders.datasets.opened_sets import cached, images_of, used_rows
from tests.builders.datasets.tiny_downstream import frontal, write_chexpert
from training.data.catalog import open_reader

ESCAPE = "../../../etc/passwd"


def test_chexpert_counts_uncertain_labels_as_the_five_do(tmp_path: Path) -> None:
    labels = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
    train = [
        frontal("train", 1) | dict.fromkeys(labels, -1.0),
        frontal("train", 2) | dict.fromkeys(labels, 1.0),
        frontal("train", 3, Edema=0.0, Pneumothorax=-1.0),
    ]
    write_chexpert(tmp_path, train, [frontal("valid", 9)])
    found = [row.findings for row in open_reader(tmp_path, "chexpert_competition").rows()]
    assert [list(one.values()) for one in found] == [
        [True, False, False, True, True],
        [True] * 5,
        [False] * 5,
        [False] * 5,
    ]
    assert all(tuple(one) == labels for one in found)


def _chexpert(root: Path, count: int = 40) -> None:
    train = [frontal("train", i // 2, i % 2, Edema=1.0) for i in range(count)]
    train[3] |= {"side": "Lateral"}
    write_chexpert(root, train, [frontal("valid", 90 + i) for i in range(3)])


def test_chexpert_sound_holds_out_whole_patients_and_no_lateral(tmp_path: Path) -> None:
    _chexpert(tmp_path)
    rows = used_rows(tmp_path, "chexpert_competition", "sound")
    assert Counter(row.split for row in rows) == {"train": 30, "valid": 9, "test": 3}
    by_split = [{r.patient_id for r in rows if r.split == s} for s in ("train", "valid", "test")]
    assert not by_split[0] & by_split[1]
    assert not (by_split[0] | by_split[1]) & by_split[2]


def test_chexpert_as_published_validates_with_images_that_it_trains_on(tmp_path: Path) -> None:
    _chexpert(tmp_path)
    rows = opened_sets.rows(tmp_path, "chexpert_competition", "mgca")
    aside = set(np.random.RandomState(0).choice(40, 10, replace=False).tolist())
    left = [i for i in range(40) if i not in aside]  # labels of the rows that remain
    positions = np.random.RandomState(0).choice(30, 7, replace=False).tolist()
    names = [f"train/patient{i // 2:05d}/study1/view{i % 2}_frontal.jpg" for i in range(40)]
    assert images_of(rows, "valid") == {names[left[p]] for p in positions}
    assert images_of(rows, "train") == {names[i] for i in left if i not in positions}
    assert images_of(rows, "valid") & images_of(rows, "train")
    aside_rows = [row.image for row in rows if row.left_out == "of CheXpert 5x200"]
    assert set(aside_rows) == {names[i] for i in aside}


def test_chexpert_malformed_lines_are_left_out(tmp_path: Path) -> None:
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
    cache = cached(tmp_path, "chexpert_competition")
    assert cache.left_out == {
        "lateral view": 1,
        "malformed label": 1,
        "listed twice": 1,
        "patient of the test split": 1,
        "the path leads out of the data set": 1,
    }
