"""Warnings of the pixels: one for each thing that is wrong, and none that says it twice."""

import pytest

from radiograph.postprocess.heads import Finding
from radiograph.terminology.checks import Check
from service.inference.pixel_checks import notices
from service.inference.results import Notice, OutOfDistributionScore

OUTSIDE, INSIDE = OutOfDistributionScore(2.0, 1.5), OutOfDistributionScore(1.0, 1.5)


def raised(*checks: Check, probability: float = 0.875) -> list[Finding]:
    """Return all checks, of which the given ones reach their threshold of 0.75."""
    scores = {check: probability if check in checks else 0.125 for check in Check}
    return [Finding(check, None, p, 0.75, p >= 0.75) for check, p in scores.items()]


def codes(*found: Notice) -> list[str]:
    return [notice.code for notice in found]


def test_the_warnings_of_the_reader_keep_their_codes() -> None:
    assert notices(("presentation_lut: ignored", "No code here"), None) == (
        Notice("presentation_lut", "ignored"),
        Notice("image", "No code here"),
    )


def test_an_image_outside_of_the_distribution_adds_a_warning() -> None:
    (notice,) = notices((), OUTSIDE)
    assert notice.code == "out_of_domain"
    assert "score 2.00, threshold 1.50" in notice.message
    assert notices((), INSIDE) == ()


@pytest.mark.parametrize(
    ("check", "code", "words"),
    [
        (Check.LATERAL, "pixels_look_lateral", "lateral view"),
        (Check.MIRRORED, "pixels_look_mirrored", "heart is on the right"),
        (Check.UPSIDE_DOWN, "pixels_look_turned", "upside down"),
        (Check.TURNED_LEFT, "pixels_look_turned", "to the left"),
        (Check.TURNED_RIGHT, "pixels_look_turned", "to the right"),
        (Check.INVERTED, "pixels_look_inverted", "Black and white"),
        (Check.OUT_OF_DOMAIN, "out_of_domain", "no chest radiograph"),
    ],
)
def test_a_check_that_reaches_its_threshold_is_a_warning(
    check: Check, code: str, words: str
) -> None:
    (notice,) = notices((), INSIDE, raised(check))
    assert notice.code == code
    assert words in notice.message
    assert "probability 0.875, threshold 0.750" in notice.message
    assert notices((), INSIDE, raised(check, probability=0.5)) == ()


def test_both_signs_of_a_foreign_image_are_one_warning() -> None:
    (notice,) = notices((), OUTSIDE, raised(Check.OUT_OF_DOMAIN))
    assert notice.code == "out_of_domain"
    assert "score 2.00" in notice.message
    assert "probability 0.875" in notice.message


def test_nothing_else_is_said_of_a_picture_of_no_chest() -> None:
    found = notices((), INSIDE, raised(Check.OUT_OF_DOMAIN, Check.MIRRORED, Check.INVERTED))
    assert codes(*found) == ["out_of_domain"]


def test_a_changed_radiograph_outside_of_the_distribution_gets_both_warnings() -> None:
    found = notices((), OUTSIDE, raised(Check.INVERTED, Check.MIRRORED))
    assert codes(*found) == ["out_of_domain", "pixels_look_mirrored", "pixels_look_inverted"]


def test_a_lateral_view_of_the_header_is_not_repeated_and_has_no_sides() -> None:
    header = "lateral_view: a lateral projection; the models know frontal ones only"
    found = notices((header,), INSIDE, raised(Check.LATERAL, Check.MIRRORED))
    assert codes(*found) == ["lateral_view"]
    assert codes(*notices((), INSIDE, raised(Check.LATERAL, Check.MIRRORED))) == [
        "pixels_look_lateral"
    ]


def test_one_turn_is_named_the_most_probable_one() -> None:
    checks = raised(Check.TURNED_LEFT, Check.UPSIDE_DOWN)
    sure = [
        Finding(c.name, None, 0.96875, 0.75, positive=True) if c.name == Check.UPSIDE_DOWN else c
        for c in checks
    ]
    (notice,) = notices((), None, sure)
    assert "upside down" in notice.message
