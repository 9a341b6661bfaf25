"""Rules that split a data set."""

from collections import Counter

import pytest

from training.data.rows.dataset_files import DataError
from training.data.rows.splits import hold_out, in_thirds, patients_for


def test_the_counts_of_the_releases_come_out_as_published() -> None:
    rsna = Counter(in_thirds(26_684, round(0.4 * 26_684))[0])
    assert rsna == {"train": 16_010, "valid": 5_337, "test": 5_337}
    siim = Counter(in_thirds(12_047, int(0.3 * 12_047))[0])
    assert siim == {"train": 8_433, "valid": 1_807, "test": 1_807}
    covidx = hold_out(29_986, 29_986 - int(0.8 * 29_986))
    assert [len(part) for part in covidx] == [23_988, 5_998]
    assert [len(part) for part in hold_out(86_524, round(0.1 * 86_524))] == [77_872, 8_652]
    assert [len(part) for part in hold_out(8_000, round(0.2 * 8_000))] == [6_400, 1_600]


def test_too_few_rows_to_split_are_an_error_with_a_message() -> None:
    with pytest.raises(DataError, match="1 rows are too few"):
        in_thirds(1, 0)


def test_whole_patients_are_held_out_up_to_the_number_of_images() -> None:
    patients = [f"p{i % 700}" for i in range(1_000)]  # 300 patients have two images
    chosen = patients_for(patients, 101)
    assert sum(patient in chosen for patient in patients) == 101
    assert patients_for(patients[::-1], 101) == chosen
    assert patients_for(["a"] * 5, 3) == frozenset()
