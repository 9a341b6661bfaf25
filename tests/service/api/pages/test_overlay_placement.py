"""Masks, boxes and pixels lie where the answer says, at any zoom and however the file is turned."""

import re
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from radiograph.geometry.orientation import Orientation
from service.encoders import coco_rle
from tests.builders.files import sample_files
from tests.builders.service.pages.viewer import DICOM, Screen, only, open_files, payload
from tests.fixtures.service import COLUMNS, RECTANGLE, ROWS

PIXELS = sample_files.bright_rectangle(ROWS, COLUMNS, RECTANGLE)
LEFT_LUNG = (0x56, 0xB4, 0xE9)
TURNED = {
    "none": ["L", "F"],
    "mirrored": ["R", "F"],
    "rotated_180": ["R", "H"],
    "flipped": ["L", "H"],
    "transposed": ["F", "L"],
    "rotated_90": ["F", "R"],
    "transversed": ["H", "R"],
    "rotated_270": ["H", "L"],
}
"""What Patient Orientation says of files that are turned in each way."""


def turned_file(name: str) -> bytes:
    return sample_files.dicom_file(PIXELS, PatientOrientation=TURNED[name])


def shown(stored: Any, name: str) -> Any:
    """Return the pixels as they are shown upright."""
    orientation = Orientation.from_directions(TURNED[name])
    assert orientation is not None
    assert orientation.name == name
    return orientation.turn(stored)


def left_lung(address: str, data: bytes) -> Any:
    """Return the mask of the left lung as the interface has it."""
    answer = httpx.post(f"{address}/v1/segment", content=data, headers={"content-type": DICOM})
    rle = answer.json()["masks"][0]["rle"]
    return coco_rle.decode(rle["counts"], *rle["size"])


def assert_covered(screen: Screen, mask: Any) -> None:
    """Check that the mask, as it is shown, covers its pixels on the screen and no other."""
    x, y = screen.shown(*mask.shape)
    covered = (screen.at(x, y) == LEFT_LUNG).all(-1)
    top = max(0.0, screen.y)
    bottom = min(len(screen.pixels), screen.y + screen.scale * len(mask))
    sides = top + (bottom - top) / 4  # L and R are written over the image there
    clear = abs((y + 0.5) * screen.scale + screen.y - sides) > 16
    assert covered[clear].any()
    assert (covered == mask[y, x])[clear].all()


@pytest.mark.parametrize("name", TURNED)
def test_a_mask_covers_its_pixels_and_no_other(page: Page, service: str, name: str) -> None:
    data = turned_file(name)
    mask = left_lung(service, data)
    assert 1000 < mask.sum() < mask.size / 2
    open_files(page, service, payload("a.dcm", data))
    only(page, "mask:Left lung")
    for _ in range(2):
        screen = Screen.of(page)
        assert screen.turn == name
        assert screen.scale > 3
        assert_covered(screen, shown(mask, name))
        page.locator("#zoom-in").click(click_count=3)
        page.locator("#stage").focus()
        page.keyboard.press("ArrowRight")
    assert screen.scale < Screen.of(page).scale


def test_a_turned_image_is_shown_as_it_is_stored_on_request(page: Page, service: str) -> None:
    data = turned_file("rotated_180")
    open_files(page, service, payload("a.dcm", data))
    only(page, "mask:Left lung")
    page.click("#upright")
    expect(page.locator("#upright")).to_have_attribute("aria-pressed", "false")
    screen = Screen.of(page)
    assert screen.turn == "none"
    assert_covered(screen, left_lung(service, data))
    page.set_input_files("#file", [payload("b.dcm", turned_file("none"))])
    expect(page.locator("#files li[data-state=done]")).to_have_count(2)
    expect(page.locator("#upright")).to_be_hidden()


@pytest.mark.parametrize("name", ["rotated_90", "mirrored"])
def test_everything_else_is_turned_with_the_image(page: Page, service: str, name: str) -> None:
    data = turned_file(name)
    open_files(page, service, payload("a.dcm", data))
    upright = shown(PIXELS, name)
    page.keyboard.press("v")
    screen = Screen.of(page)
    x, y = screen.shown(*upright.shape)
    away = (y > 0.4 * upright.shape[0]) | (abs(x / upright.shape[1] - 0.5) < 0.2)  # no L, no R
    gray = screen.at(x, y)[away]
    assert (gray == np.where(upright[y, x] > 0, 255, 0)[away][:, None]).all()
    column, row = (int(value) for value in np.argwhere(shown(marked(), name))[0][::-1])
    point_at(page, screen, column, row)
    assert page.inner_text("#readout").startswith("x 30, y 70 ·")
    page.locator("#stage").focus()
    page.keyboard.press("c")
    middle = Orientation.from_directions(TURNED[name])
    assert middle is not None
    before = page.inner_text("#readout")
    page.keyboard.press("ArrowDown")
    after = page.inner_text("#readout")
    moved = np.subtract(place(after), place(before))
    origin = middle.point(0, 0, ROWS, COLUMNS)
    step = middle.point(float(moved[0]), float(moved[1]), ROWS, COLUMNS)
    assert tuple(np.subtract(step, origin)) == (0, 1)  # down on the screen


def marked() -> Any:
    """Return a stored image of which one pixel, column 30 of row 70, is set."""
    found = np.zeros((ROWS, COLUMNS), bool)
    found[70, 30] = True
    return found


def place(readout: str) -> tuple[int, ...]:
    """Return column and row that are read out."""
    return tuple(int(number) for number in re.findall(r"\d+", readout)[:2])


def point_at(page: Page, screen: Screen, column: int, row: int) -> None:
    """Move the pointer to the centre of a shown pixel."""
    area = page.locator("#overlay").bounding_box()
    assert area is not None
    page.mouse.move(
        area["x"] + screen.x + (column + 0.5) * screen.scale,
        area["y"] + screen.y + (row + 0.5) * screen.scale,
    )


def test_the_image_has_the_pixels_of_the_file(page: Page, service: str) -> None:
    wide = (PIXELS * 16).astype(np.uint16)
    for name, rectangle in (("MONOCHROME2", 255), ("MONOCHROME1", 0)):
        data = sample_files.dicom_file(wide, name, BitsStored=16, HighBit=15)
        open_files(page, service, payload("a.dcm", data))
        page.keyboard.press("v")
        screen = Screen.of(page)
        x, y = screen.shown(ROWS, COLUMNS)
        x, y = x[y > 85], y[y > 85]
        x0, y0, x1, y1 = RECTANGLE
        rows, columns = np.mgrid[y0 + 10 : y1, x0:x1]  # R is written above
        assert (screen.at(columns.ravel(), rows.ravel()) == rectangle).all()
        assert (screen.at(x, y) == 255 - rectangle).all()


@pytest.mark.parametrize("name", ["none", "rotated_270"])
def test_a_box_is_drawn_around_its_pixels(page: Page, service: str, name: str) -> None:
    open_files(page, service, payload("a.dcm", turned_file(name)))
    if page.locator("#confirm").is_visible():
        page.click("#confirm")
    only(page, "box:Lung opacity")
    screen = Screen.of(page)
    yellow = (screen.pixels == (0xF0, 0xE4, 0x42)).all(-1)
    rows, columns = np.flatnonzero(yellow.sum(1) > 100), np.flatnonzero(yellow.sum(0) > 100)
    edges = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    offset = np.array([screen.x, screen.y] * 2)
    box = (np.array(edges) - offset) / screen.scale
    rectangle = np.argwhere(shown(PIXELS, name))[:, ::-1]
    expected = [*rectangle.min(0), *(rectangle.max(0) + 1)]
    np.testing.assert_allclose(box, expected, atol=2 / screen.scale)  # half a line of 2 pixels


@pytest.mark.parametrize(
    ("name", "upright"), [("none", True), ("rotated_90", True), ("rotated_90", False)]
)
def test_the_picture_that_is_saved_is_the_whole_image_as_it_is_shown(
    page: Page, service: str, name: str, upright: bool
) -> None:
    data = turned_file(name)
    open_files(page, service, payload("a.dcm", data))
    only(page, "mask:Left lung")
    if not upright:
        page.click("#upright")
    with page.expect_download() as saving:
        page.click("#save-overlay")
    with Image.open(saving.value.path()) as image:
        saved = np.asarray(image.convert("RGB"))
    mask = left_lung(service, data)
    inner = np.ascontiguousarray(shown(mask, name) if upright else mask)
    assert saved.shape == (*inner.shape, 3)
    outer = ~inner
    for axis, by in ((0, 1), (0, -1), (1, 1), (1, -1)):  # without the outline and its neighbours
        inner &= np.roll(inner, by, axis)
        outer &= np.roll(outer, by, axis)
    quarter = len(inner) // 4  # L and R are at the sides there, or at the top and the bottom
    bands = [(quarter - 12, quarter + 12)] if upright else [(0, 24), (len(inner) - 24, len(inner))]
    for start, end in bands:
        inner[start:end] = outer[start:end] = False
    assert inner.sum() > 500
    assert (saved[inner] == LEFT_LUNG).all()
    assert not (saved[outer] == LEFT_LUNG).all(-1).any()
