"""Decisions on phrases and their boxes, of known maps."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from radiograph.errors import InvalidVersion
from radiograph.geometry.geometry import Field, Geometry
from radiograph.geometry.orientation import Orientation
from radiograph.manifest import HeadSpec, PhraseRule, Task
from radiograph.postprocess.grounding import Grounding
from radiograph.postprocess.heads import ground

SQUARE = Geometry.fit(448, 448, 224)  # a cell of 8 x 8 is 56 pixels wide
RULE = PhraseRule(scale=2.0, offset=-1.0, threshold=0.5, box_threshold=0.5)
DIRECTIONS = ["L\\F", "R\\F", "R\\H", "L\\H", "F\\L", "H\\L", "F\\R", "H\\R"]
FINDS = 3.0
"""Raw presence of a phrase that is found."""
Map = NDArray[np.float32]


def asked(
    logits: Map, presence: float = FINDS, rule: PhraseRule | None = RULE, at: Geometry = SQUARE
) -> Grounding:
    head = HeadSpec(
        kind=Task.GROUND, file="h.onnx", inputs=("deep",), method="aligned", phrase_rule=rule
    )
    outputs = {"logits": logits[None], "presence": np.array([presence], np.float32)}
    (found,) = ground(head, outputs, ["x"], at)
    return found


def two_places(strong: float = 3.0, weak: float = 1.0) -> Map:
    """8 x 8: a weak place of 2 x 3 cells, and below it a strong one of 1 x 1."""
    logits = np.full((8, 8), -9, np.float32)
    logits[1:3, 1:4] = weak
    logits[6, 5] = strong
    return logits


def probability(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def test_each_place_has_a_box_with_its_highest_value_the_strongest_first() -> None:
    found = asked(two_places())
    assert [place.box for place in found.boxes] == [(280, 336, 336, 392), (56, 56, 224, 168)]
    scores = [place.score for place in found.boxes]
    assert scores == pytest.approx([probability(3), probability(1)])
    assert found.box == found.boxes[0].box
    assert found.peak == (308, 364)


@pytest.mark.parametrize("directions", DIRECTIONS)
def test_boxes_are_exact_in_stored_pixels(directions: str) -> None:
    orientation = Orientation.from_directions(directions.split("\\"))
    assert orientation is not None
    stored = orientation.stored_shape(400, 200)
    place = Geometry.fit(*stored, 224, orientation)  # columns 2 to 6 of the map show the image
    found = asked(two_places(), at=place)
    boxes = [orientation.box(item.box, *stored) for item in found.boxes]
    assert boxes == [pytest.approx((150, 300, 200, 350)), pytest.approx((0, 50, 100, 150))]


def test_boxes_of_a_cropped_image_are_those_of_the_whole() -> None:
    cropped = Geometry.fit(448, 672, 224, field=Field(top=0, left=224, rows=448, columns=448))
    boxes = [place.box for place in asked(two_places(), at=cropped).boxes]
    assert boxes == [(504, 336, 560, 392), (280, 56, 448, 168)]


def test_presence_is_calibrated_apart_from_the_similarity() -> None:
    found = asked(two_places(), presence=1.0)
    assert found.similarity == pytest.approx(probability(1))
    assert found.presence is not None
    assert found.presence.probability == pytest.approx(probability(2 * 1 - 1))
    assert (found.presence.threshold, found.presence.found) == (0.5, True)


@pytest.mark.parametrize(("presence", "found"), [(0.5, True), (0.499, False), (-40.0, False)])
def test_a_phrase_below_the_threshold_has_a_heat_map_but_no_place(
    presence: float, *, found: bool
) -> None:
    answer = asked(two_places(), presence)
    assert answer.presence is not None
    assert answer.presence.found is found
    assert (answer.peak is not None, len(answer.boxes)) == (found, 2 * found)
    assert answer.heatmap.max() == pytest.approx(probability(3))


def test_a_found_phrase_whose_map_stays_low_has_a_peak_but_no_box() -> None:
    answer = asked(two_places(strong=-0.1, weak=-1))
    assert (answer.peak, answer.boxes, answer.box) == ((308, 364), (), None)


def test_no_more_boxes_than_allowed_are_drawn_the_strongest_stay() -> None:
    rule = RULE.model_copy(update={"max_boxes": 1})
    assert [place.box for place in asked(two_places(), rule=rule).boxes] == [(280, 336, 336, 392)]


def test_a_checkerboard_gives_as_many_boxes_as_allowed() -> None:
    logits = np.where(np.indices((56, 56)).sum(axis=0) % 2, 4, -4).astype(np.float32)
    assert len(asked(logits).boxes) == RULE.max_boxes


def test_saturated_maps_keep_their_order() -> None:
    assert asked(two_places(strong=300, weak=200)).peak == (308, 364)
    assert asked(two_places(strong=200, weak=300)).boxes[0].box == (56, 56, 224, 168)


def test_without_a_rule_nothing_is_decided_and_one_box_is_drawn() -> None:
    answer = asked(two_places(), rule=None)
    assert answer.presence is None
    assert [place.box for place in answer.boxes] == [(280, 336, 336, 392)]
    absent = asked(two_places(), presence=-1.0, rule=None)
    assert (absent.peak, absent.boxes) == ((308, 364), ())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_maps_and_presences_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(InvalidVersion, match="`logits` is not finite"):
        asked(np.full((8, 8), value, np.float32))
    with pytest.raises(InvalidVersion, match="`presence` is not finite"):
        asked(two_places(), presence=value)


def test_extreme_presences_are_probabilities() -> None:
    rule = RULE.model_copy(update={"scale": 1e300})
    low, high = (asked(two_places(), value, rule).presence for value in (-3e38, 3e38))
    assert low is not None
    assert high is not None
    assert (low.probability, high.probability) == (0, 1)


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 300), columns=st.integers(1, 300), seed=st.integers(0, 2**16))
def test_boxes_lie_inside_the_image_and_one_holds_the_peak(
    rows: int, columns: int, seed: int
) -> None:
    logits = np.random.default_rng(seed).normal(scale=4, size=(7, 7)).astype(np.float32)
    answer = asked(logits, at=Geometry.fit(rows, columns, 224))
    scores = [place.score for place in answer.boxes]
    assert scores == sorted(scores, reverse=True)
    for place in answer.boxes:
        x0, y0, x1, y1 = place.box
        assert 0 <= x0 < x1 <= columns
        assert 0 <= y0 < y1 <= rows
    if answer.box is not None and answer.peak is not None and min(rows, columns) > 1:
        x0, y0, x1, y1 = answer.box
        assert x0 - 0.5 <= answer.peak[0] <= x1 + 0.5
        assert y0 - 0.5 <= answer.peak[1] <= y1 + 0.5
