"""Run-length codes of masks, by values known by hand, and codes that are none."""

import pytest

from training.data.annotations import siim_rle


def test_runs_go_down_the_columns_and_start_where_the_last_one_ended() -> None:
    # of 3 rows and 4 columns: leave out 1, take 2; leave out 3, take 1; leave out 1, take 4
    assert siim_rle.mask("1 2 3 1 1 4", 3, 4).astype(int).tolist() == [
        [0, 0, 1, 1],
        [1, 0, 0, 1],
        [1, 0, 1, 1],
    ]


def test_a_mask_of_a_real_code_has_its_area_and_box() -> None:
    # starts at rows 548, 543 and 538 of the columns 378, 379 and 380
    code = "387620 23 996 33 986 43"
    mask = siim_rle.mask(code, 1024, 1024)
    assert mask.shape == (1024, 1024)
    assert mask.sum() == 23 + 33 + 43
    assert mask[548:571, 378].all()
    assert siim_rle.bounds(code, 1024, 1024) == (378.0, 538.0, 381.0, 581.0)


def test_the_box_of_a_run_over_the_end_of_a_column_is_as_high_as_the_image() -> None:
    assert siim_rle.bounds("5 2", 6, 4) == (0.0, 0.0, 2.0, 6.0)
    assert siim_rle.bounds("5 0", 6, 4) is None
    assert not siim_rle.mask("5 0", 6, 4).any()


@pytest.mark.parametrize("code", ["0 24", "23 1", "0 12 0 12"])
def test_the_last_pixel_can_be_reached(code: str) -> None:
    assert siim_rle.mask(code, 6, 4)[5, 3]


@pytest.mark.parametrize(
    "code",
    ["", " ", "5", "1 2 3", "a b", "1.5 2", "-1", "-1 5", "1 -2", "٣ ٣", "1e3 1", "0x1 2", "nan 1"],
)
def test_codes_that_are_not_pairs_of_counts_are_malformed(code: str) -> None:
    with pytest.raises(siim_rle.MalformedRuns, match="malformed run-length code"):
        siim_rle.mask(code, 6, 4)


@pytest.mark.parametrize("code", ["0 25", "24 1", "20 3 1 1", "0 999999999", "1 1 999999999 1"])
def test_a_run_past_the_last_pixel_is_refused(code: str) -> None:
    with pytest.raises(siim_rle.MalformedRuns, match="past the image"):
        siim_rle.bounds(code, 6, 4)


def test_counts_of_ten_digits_and_more_are_malformed() -> None:
    with pytest.raises(siim_rle.MalformedRuns, match="malformed"):
        siim_rle.mask(f"0 {'9' * 1_000_000}", 1024, 1024)


def test_many_counts_do_not_overflow() -> None:
    with pytest.raises(siim_rle.MalformedRuns, match="past the image"):
        siim_rle.mask("999999999 999999999 " * 50_000, 1024, 1024)
