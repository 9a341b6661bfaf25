"""Labelled subsets of a training split."""

from training.data.rows.label_subsets import labelled_subset

PATIENTS = [f"p{i // 2}" for i in range(200)]  # 100 patients, two radiographs each
POSITIVE = [i // 2 % 4 == 0 for i in range(200)]  # a quarter of them


def _seen(fraction: float, seed: int = 0) -> list[int]:
    return labelled_subset(PATIENTS, POSITIVE, fraction, seed)


def test_a_smaller_fraction_lies_inside_a_larger_one() -> None:
    one, ten, all_ = (set(_seen(f)) for f in (0.01, 0.1, 1.0))
    assert one < ten < all_ == set(range(200))


def test_a_subset_holds_all_radiographs_of_a_patient_or_none() -> None:
    rows = set(_seen(0.1))
    assert all((row in rows) == (row ^ 1 in rows) for row in range(200))


def test_each_class_gives_its_share_and_the_smallest_fraction_two_patients() -> None:
    ten = _seen(0.1)  # 3 of 25 positive patients, 8 of 75 others, both rounded up
    assert sum(POSITIVE[i] for i in ten) == 6
    assert len(ten) == 22
    one = _seen(0.01)
    assert sum(POSITIVE[i] for i in one) == 4
    assert len(one) == 8


def test_another_seed_gives_another_subset() -> None:
    assert _seen(0.1) == _seen(0.1)
    assert _seen(0.1) != _seen(0.1, seed=1)


def test_the_subset_does_not_depend_on_the_order_of_the_rows() -> None:
    backwards = labelled_subset(PATIENTS[::-1], POSITIVE[::-1], 0.1, 0)
    assert {199 - i for i in backwards} == set(_seen(0.1))


def test_a_class_with_a_single_patient_gives_that_one() -> None:
    assert labelled_subset(["a", "b", "c"], [True, False, False], 0.01, 0) == [0, 1, 2]


def test_a_patient_is_positive_with_one_positive_row() -> None:
    rows = labelled_subset(["a", "a", "b", "b"], [False, True, False, False], 0.5, 0)
    assert rows == [0, 1, 2, 3]
