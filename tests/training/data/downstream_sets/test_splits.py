"""Splits of the downstream data sets: the published draw, its leaks, and ours without them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from tests.builders.training.tiny_downstream import (
    frontal,
    write_chexpert,
    write_covidx,
    write_cxr14,
    write_object_cxr,
    write_rsna,
    write_siim,
)
from training.config.run import Protocol
from training.data.catalog import open_reader
from training.data.rows.dataset_files import DataError
from training.data.rows.reader import Row
from training.data.rows.splits import drawn, in_thirds, patients_for

BOTH: tuple[Protocol, ...] = ("sound", "mgca")


def _rows(root: Path, name: str, protocol: Protocol) -> list[Row]:
    return list(open_reader(root, name, protocol).rows())


def _used(root: Path, name: str, protocol: Protocol) -> list[Row]:
    return [row for row in _rows(root, name, protocol) if not row.reason_left_out]


def _of(rows: list[Row], split: str) -> set[str]:
    return {row.image for row in rows if row.split == split}


def test_the_counts_of_the_releases_come_out_as_published() -> None:
    rsna = Counter(in_thirds(26_684, round(0.4 * 26_684))[0])
    assert rsna == {"train": 16_010, "valid": 5_337, "test": 5_337}
    siim = Counter(in_thirds(12_047, int(0.3 * 12_047))[0])
    assert siim == {"train": 8_433, "valid": 1_807, "test": 1_807}
    covidx = drawn(29_986, 29_986 - int(0.8 * 29_986))
    assert [len(part) for part in covidx] == [23_988, 5_998]
    assert [len(part) for part in drawn(86_524, round(0.1 * 86_524))] == [77_872, 8_652]
    assert [len(part) for part in drawn(8_000, round(0.2 * 8_000))] == [6_400, 1_600]


def test_too_few_rows_to_split_are_an_error_with_a_message() -> None:
    with pytest.raises(DataError, match="1 rows are too few"):
        in_thirds(1, 0)


def test_patients_are_held_out_whole_and_as_many_images_as_asked_for() -> None:
    patients = [f"p{i % 700}" for i in range(1_000)]  # 300 patients have two images
    chosen = patients_for(patients, 101)
    assert sum(patient in chosen for patient in patients) == 101
    assert patients_for(patients[::-1], 101) == chosen
    assert patients_for(["a"] * 5, 3) == frozenset()


@pytest.mark.parametrize("protocol", BOTH)
def test_rsna_is_split_as_scikit_learn_splits_sorted_patients(
    protocol: Protocol, tmp_path: Path
) -> None:
    names = [f"{(i * 37) % 100:03d}" for i in range(20)]
    write_rsna(tmp_path, dict.fromkeys(names, ()))
    train, rest = train_test_split(sorted(names), test_size=8, random_state=0)
    test, valid = train_test_split(rest, test_size=0.5, random_state=0)
    rows = _used(tmp_path, "rsna", protocol)
    assert [row.patient_id for row in rows] == names
    for split, expected in (("train", train), ("valid", valid), ("test", test)):
        assert {row.patient_id for row in rows if row.split == split} == set(expected)


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
    rows = _used(tmp_path, "siim", "mgca")
    for split, lines in (("train", train), ("valid", valid), ("test", test)):
        assert {r.patient_id for r in rows if r.split == split} == {codes[i][0] for i in lines}
    leaked = [r for r in rows if r.image in _of(rows, "train") & _of(rows, "test")]
    assert leaked
    by_split = {row.split: row.boxes for row in rows if row.image == leaked[0].image}
    assert len(by_split["train"]) == len(by_split["test"]) == 1
    assert by_split["train"] != by_split["test"]


def test_siim_sound_has_each_image_once_with_its_whole_mask(tmp_path: Path) -> None:
    write_siim(tmp_path, _two_masks_each(20))
    rows = _used(tmp_path, "siim", "sound")
    assert len({row.image for row in rows}) == len(rows) == 20
    assert Counter(row.split for row in rows) == {"train": 14, "valid": 3, "test": 3}
    assert all(len(row.boxes) == 2 for row in rows)


def test_siim_as_published_trains_with_as_many_negatives_as_positives(tmp_path: Path) -> None:
    codes = [(f"p{i}", "10 5") for i in range(10)] + [(f"n{i}", "-1") for i in range(40)]
    write_siim(tmp_path, codes)
    rows = _rows(tmp_path, "siim", "mgca")
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
    assert not any(row.left_out for row in _rows(tmp_path, "siim", "sound"))


def test_siim_as_published_takes_no_line_with_a_space_for_a_negative(tmp_path: Path) -> None:
    codes = [(f"p{i}", "10 5") for i in range(10)] + [(f"n{i}", " -1") for i in range(40)]
    write_siim(tmp_path, codes)
    rows = _rows(tmp_path, "siim", "mgca")
    assert not any(row.left_out for row in rows)
    assert not any(row.labels or row.masks for row in rows if row.patient_id[0] == "n")


def _covid_lines() -> list[str]:
    return [f"{i // 4} {i}.png normal rsna" for i in range(40)]


def test_covidx_as_published_splits_the_images_of_a_patient(tmp_path: Path) -> None:
    write_covidx(tmp_path, _covid_lines(), ["t x.png COVID-19 sirm"])
    rows = _used(tmp_path, "covidx", "mgca")
    _, valid = train_test_split(range(40), train_size=0.8, random_state=0)
    assert _of(rows, "valid") == {f"train/{i}.png" for i in valid}
    patients = Counter(p for p, _ in {(row.patient_id, row.split) for row in rows})
    assert max(patients.values()) == 2


def test_covidx_sound_keeps_patients_whole_and_out_of_the_test(tmp_path: Path) -> None:
    test = ["3 x.png COVID-19 rsna", "4 y.png COVID-19 sirm"]  # patient 3 is of the same source
    write_covidx(tmp_path, _covid_lines(), test)
    rows = _rows(tmp_path, "covidx", "sound")
    reasons = {row.image: row.left_out for row in rows if row.left_out}
    assert reasons == {f"train/{i}.png": "patient of the test list" for i in range(12, 16)}
    used = [row for row in rows if not row.left_out]
    assert len({(row.patient_id, row.split) for row in used}) == len({r.patient_id for r in used})
    assert len([row for row in rows if row.split == "valid"]) == 8


@pytest.mark.parametrize("protocol", BOTH)
def test_cxr14_tests_on_the_official_list(protocol: Protocol, tmp_path: Path) -> None:
    images = [(f"{i:03d}.png", str(i // 2), "No Finding") for i in range(60)]
    write_cxr14(tmp_path, images, [image for image, _, _ in images[40:]])
    rows = _used(tmp_path, "cxr14", protocol)
    assert len(_of(rows, "test")) == 20
    assert len(_of(rows, "valid")) == 4
    shared = {r.patient_id for r in rows if r.split == "train"} & {
        r.patient_id for r in rows if r.split == "valid"
    }
    assert bool(shared) == (protocol == "mgca")


@pytest.mark.parametrize("protocol", BOTH)
def test_object_cxr_validates_with_a_fifth_of_train_and_tests_on_dev(
    protocol: Protocol, tmp_path: Path
) -> None:
    write_object_cxr(tmp_path, {f"{i}.jpg": "" for i in range(20)}, {"d.jpg": "0 1 1 9 9"})
    rows = _used(tmp_path, "object_cxr", protocol)
    _, valid = train_test_split(range(20), test_size=4, random_state=0)
    assert _of(rows, "valid") == {f"train/{i}.jpg" for i in valid}
    assert _of(rows, "test") == {"dev/d.jpg"}


def _chexpert(root: Path, count: int = 40) -> None:
    train = [frontal("train", i // 2, i % 2, Edema=1.0) for i in range(count)]
    train[3] |= {"side": "Lateral"}
    write_chexpert(root, train, [frontal("valid", 90 + i) for i in range(3)])


def test_chexpert_sound_holds_out_whole_patients_and_no_lateral(tmp_path: Path) -> None:
    _chexpert(tmp_path)
    rows = _used(tmp_path, "chexpert_competition", "sound")
    assert Counter(row.split for row in rows) == {"train": 30, "valid": 9, "test": 3}
    by_split = [{r.patient_id for r in rows if r.split == s} for s in ("train", "valid", "test")]
    assert not by_split[0] & by_split[1]
    assert not (by_split[0] | by_split[1]) & by_split[2]


def test_chexpert_as_published_validates_with_images_that_it_trains_on(tmp_path: Path) -> None:
    _chexpert(tmp_path)
    rows = _rows(tmp_path, "chexpert_competition", "mgca")
    aside = set(np.random.RandomState(0).choice(40, 10, replace=False).tolist())
    left = [i for i in range(40) if i not in aside]  # labels of the rows that remain
    positions = np.random.RandomState(0).choice(30, 7, replace=False).tolist()
    names = [f"train/patient{i // 2:05d}/study1/view{i % 2}_frontal.jpg" for i in range(40)]
    assert _of(rows, "valid") == {names[left[p]] for p in positions}
    assert _of(rows, "train") == {names[i] for i in left if i not in positions}
    assert _of(rows, "valid") & _of(rows, "train")
    aside_rows = [row.image for row in rows if row.left_out == "of CheXpert 5x200"]
    assert set(aside_rows) == {names[i] for i in aside}
