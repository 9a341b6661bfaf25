"""The cardiothoracic ratio, of hand-drawn masks."""

import numpy as np
import pytest

from radiograph.geometry.geometry import Box, Field, Geometry
from radiograph.geometry.orientation import Orientation
from radiograph.postprocess.boxes import bounds
from radiograph.postprocess.heads import Mask
from radiograph.postprocess.measurements import Measurement, cardiothoracic_ratio, measure

ROWS, COLUMNS = 100, 120
UPRIGHT: dict[str, Box] = {
    "Right lung": (10, 20, 50, 80),  # the patient's right is on the left of the image
    "Left lung": (65, 15, 110, 85),
    "Heart": (40, 50, 90, 90),
}
RATIO = 0.5  # 50 of 100 pixels
DIRECTIONS = ["L\\F", "R\\F", "R\\H", "L\\H", "F\\L", "H\\L", "F\\R", "H\\R"]


def drawn(boxes: dict[str, Box], geometry: Geometry) -> list[Mask]:
    """Masks as they are stored, of boxes in the upright image."""
    masks = []
    for name, (x0, y0, x1, y1) in boxes.items():
        upright = np.zeros(
            geometry.orientation.upright_shape(geometry.rows, geometry.columns), bool
        )
        upright[int(y0) : int(y1), int(x0) : int(x1)] = True
        mask = geometry.orientation.turn_back(upright)
        masks.append(Mask(name, None, mask, int(mask.sum()), None, bounds(mask)))
    return masks


def placed(directions: str = "L\\F") -> Geometry:
    orientation = Orientation.from_directions(directions.split("\\"))
    assert orientation is not None
    return Geometry.fit(*orientation.stored_shape(ROWS, COLUMNS), 224, orientation)


def one(boxes: dict[str, Box], geometry: Geometry, view: str | None = "PA") -> Measurement:
    (found,) = measure(drawn(boxes, geometry), geometry, "asserted", view)
    return found


def codes(measurement: Measurement) -> list[str]:
    return [warning.partition(": ")[0] for warning in measurement.warnings]


@pytest.mark.parametrize("directions", DIRECTIONS)
def test_the_ratio_is_that_of_the_upright_patient(directions: str) -> None:
    found = one(UPRIGHT, placed(directions))
    assert found == Measurement("Cardiothoracic ratio", None, RATIO, "1")


def test_the_thorax_is_as_wide_as_both_lungs_wherever_they_are_widest() -> None:
    slanted = UPRIGHT | {"Right lung": (10, 20, 20, 30), "Left lung": (100, 80, 110, 90)}
    assert one(slanted, placed()).value == RATIO


def test_a_lung_that_reaches_behind_the_heart_does_not_change_it() -> None:
    assert one(UPRIGHT | {"Left lung": (30, 15, 110, 85)}, placed()).value == RATIO


@pytest.mark.parametrize("name", UPRIGHT)
def test_a_missing_or_an_empty_mask_leaves_it_out(name: str) -> None:
    geometry, others = placed(), {key: box for key, box in UPRIGHT.items() if key != name}
    assert measure(drawn(others, geometry), geometry, "asserted", "PA") == ()
    empty = drawn(others | {name: (5, 5, 5, 5)}, geometry)
    assert empty[-1].box is None
    assert measure(empty, geometry, "asserted", "PA") == ()
    assert cardiothoracic_ratio({mask.name: mask.box for mask in empty}, geometry) is None


def test_without_a_known_frontal_orientation_nothing_is_measured() -> None:
    masks = drawn(UPRIGHT, placed())
    assert measure(masks, placed(), "unknown", "PA") == ()
    assert len(measure(masks, placed(), "assumed", None)) == 1


@pytest.mark.parametrize(
    ("view", "expected"), [("PA", []), ("AP", ["view_not_pa"]), (None, ["view_not_pa"])]
)
def test_a_view_other_than_pa_is_warned_of(view: str | None, expected: list[str]) -> None:
    found = one(UPRIGHT, placed(), view)
    assert (found.value, codes(found)) == (RATIO, expected)


@pytest.mark.parametrize("directions", DIRECTIONS)
def test_a_lung_that_is_cut_off_is_warned_of(directions: str) -> None:
    assert codes(one(UPRIGHT | {"Right lung": (0, 20, 50, 80)}, placed(directions))) == ["cut_off"]
    assert codes(one(UPRIGHT | {"Left lung": (65, 0, 110, 100)}, placed(directions))) == []


def test_a_lung_is_cut_off_by_the_edge_of_the_exposed_field_too() -> None:
    field = Field(top=0, left=10, rows=ROWS, columns=105)
    geometry = Geometry.fit(ROWS, COLUMNS, 224, field=field)
    assert codes(one(UPRIGHT, geometry)) == ["cut_off"]


def test_a_heart_beyond_the_lungs_is_implausible() -> None:
    found = one(UPRIGHT | {"Heart": (5, 50, 115, 90)}, placed())
    assert (found.value, codes(found)) == (1.1, ["implausible"])
