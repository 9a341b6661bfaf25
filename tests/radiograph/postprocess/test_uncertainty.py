"""Results that hold in every view agree fully; each kind has its own measure."""

from collections.abc import Sequence

import numpy as np
import pytest

from radiograph.postprocess.grounding import Grounding, PhraseBox, Presence
from radiograph.postprocess.heads import Detection, Finding, Mask
from radiograph.postprocess.uncertainty import Uncertainty, uncertainties


def finding(probability: float) -> Finding:
    return Finding("Effusion", None, probability, 0.5, probability >= 0.5)


def mask(*rows: int) -> Mask:
    pixels = np.zeros((8, 8), bool)
    pixels[list(rows)] = True
    return Mask("Left lung", None, pixels, int(pixels.sum()), None, None)


def box(x0: float, name: str = "Nodule") -> Detection:
    return Detection(name, None, 0.9, (x0, 0.0, x0 + 10, 10.0))


def phrase(
    presence: float | None, peak: tuple[float, float] | None = None, boxes: Sequence[float] = ()
) -> Grounding:
    return Grounding(
        phrase="nodule",
        method="aligned",
        similarity=0.5,
        heatmap=np.zeros((2, 2), np.float32),
        peak=peak,
        boxes=tuple(PhraseBox((x, 0.0, x + 10, 10.0), 0.9) for x in boxes),
        presence=None if presence is None else Presence(presence, 0.5),
    )


def test_a_finding_has_its_range_and_the_share_of_equal_decisions() -> None:
    views = [[finding(p)] for p in (0.55, 0.4, 0.9, 0.2)]
    assert uncertainties([finding(0.6)], views) == (Uncertainty(4, 0.5, 0.2, 0.9),)


def test_findings_are_compared_with_their_own_label() -> None:
    views = [[finding(0.9), finding(0.1)]]
    found = uncertainties([finding(0.8), finding(0.2)], views)
    assert [each.agreement for each in found] == [1.0, 1.0]


def test_a_mask_has_the_mean_dice() -> None:
    (found,) = uncertainties([mask(0, 1)], [[mask(0, 1)], [mask(1, 2)], [mask(5)]])
    assert found.agreement == pytest.approx((1 + 0.5 + 0) / 3)
    assert (found.views, found.low, found.high) == (3, None, None)


def test_masks_that_stay_empty_agree() -> None:
    assert uncertainties([mask()], [[mask()]])[0].agreement == 1.0
    assert uncertainties([mask()], [[mask(1)]])[0].agreement == 0.0


def test_a_box_is_looked_for_among_all_boxes_of_its_label() -> None:
    views = [[box(50), box(2)], [box(2, "Mass")], [], [box(9)]]
    (found,) = uncertainties([box(0)], views)
    assert found == Uncertainty(4, 0.25)
    assert uncertainties([], views) == ()


@pytest.mark.parametrize(
    ("item", "other", "agrees"),
    [
        (phrase(0.8, (5, 5), [0]), phrase(0.6, (9, 9), [3]), True),
        (phrase(0.8, (5, 5), [0]), phrase(0.6, (25, 5), [20]), False),
        (phrase(0.8, (5, 5), [0, 20]), phrase(0.6, (25, 5), [20]), True),
        (phrase(0.8, (5, 5), [0]), phrase(0.4), False),
        (phrase(0.2), phrase(0.4), True),
        (phrase(0.2), phrase(0.6, (5, 5), [0]), False),
        (phrase(None, (5, 5), [0]), phrase(None, (25, 5)), False),
        (phrase(None, (5, 5)), phrase(None, (25, 5)), True),
    ],
)
def test_a_phrase_agrees_in_decision_and_place(
    item: Grounding, other: Grounding, agrees: bool
) -> None:
    (found,) = uncertainties([item], [[other]])
    assert found.agreement == float(agrees)
    presences = [each.presence.probability for each in (item, other) if each.presence]
    assert (found.low, found.high) == (
        (min(presences), max(presences)) if presences else (None, None)
    )
