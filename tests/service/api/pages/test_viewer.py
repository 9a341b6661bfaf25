"""Each control of the viewer, with the tiny model behind it."""

import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, Request, expect
from pydicom import dcmread

from tests.builders.files import sample_files
from tests.builders.service.pages.viewer import PNG, Screen, open_files, payload, script, settle
from tests.fixtures.service import COLUMNS, RECTANGLE, ROWS

RAMP = np.tile(np.linspace(0, 4095, COLUMNS).astype(np.uint16), (ROWS, 1))
BRIGHT = sample_files.bright_rectangle(ROWS, COLUMNS, RECTANGLE)
STUDY = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.4"}
FILE = payload("chest.dcm", sample_files.dicom_file(RAMP, **STUDY))


@pytest.fixture
def viewer(page: Page, service: str) -> Page:
    """The viewer with one radiograph, a ramp from black at the left to white at the right."""
    open_files(page, service, FILE)
    if page.locator("#confirm").is_visible():
        page.click("#confirm")
    return page


def drag(page: Page, dx: float, dy: float) -> None:
    """Drag from the middle of the stage."""
    box = page.locator("#stage").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y + dy, steps=3)
    page.mouse.up()
    settle(page)


def grays(page: Page) -> NDArray[np.int64]:
    """Return the gray of each column of the ramp, without anything drawn over it."""
    screen = Screen.of(page)
    columns = np.arange(COLUMNS)
    return screen.at(columns, np.full(COLUMNS, ROWS - 20))[:, 0].astype(np.int64)


def posts(page: Page) -> list[str]:
    """Return a list to which the address of every further POST is added."""
    sent: list[str] = []

    def note(request: Request) -> None:
        if request.method == "POST":
            sent.append(request.url.partition("?")[0])

    page.on("request", note)
    return sent


def test_one_request_answers_everything(page: Page, service: str) -> None:
    sent = posts(page)
    open_files(page, service, FILE)
    assert sent == [f"{service}/v1/analyze"]


def test_uncertainty_is_asked_for_and_told_beside_each_result(viewer: Page) -> None:
    for phrase in ("bright", "dark"):
        viewer.fill("#phrase", phrase)
        viewer.click("#locate")
        expect(viewer.locator("#asked li", has_text=phrase)).to_be_visible()
    assert viewer.locator(".range").count() == 0
    sent = posts(viewer)
    viewer.keyboard.press("Escape")
    viewer.focus("#stage")
    viewer.keyboard.press("h")
    findings = viewer.locator("#findings li")
    expect(findings.first).to_contain_text(" of 7 changed views, ")
    assert len(sent) == 1
    assert viewer.locator(".range").count() == findings.count()
    assert viewer.locator("#asked li", has_text=" of 7 changed views").count() == 2
    masks = viewer.locator("#layers li[data-layer^=mask]", has_text="with 7 changed views")
    assert masks.count() == 2
    expect(viewer.locator("#assess")).to_be_enabled()
    with viewer.expect_download() as download:
        viewer.click("#save-json")
    answer = json.loads(Path(download.value.path()).read_text())
    results = [*answer["findings"], *answer["masks"], *answer["boxes"], *answer["phrases"]]
    assert {item["uncertainty"]["views"] for item in results} == {7}


def test_pixels_of_few_images_are_kept_and_others_are_asked_for_again(
    page: Page, service: str
) -> None:
    sent = posts(page)
    many = [payload(f"{n}.png", sample_files.png_file(BRIGHT), PNG) for n in range(8)]
    open_files(page, service, *many)
    assert len(sent) == 8
    page.get_by_label("6.png, analysed").click()
    page.get_by_label("7.png, analysed").click()
    expect(page.locator("#facts")).to_be_visible()
    page.get_by_label("1.png, analysed").click()
    expect(page.locator("#files [aria-current=true]")).to_have_text("✓ 1.png")
    expect(page.locator("#files li[data-state=done]")).to_have_count(8)
    assert 8 < len(sent) <= 11


def test_everything_comes_from_the_service_and_nothing_is_kept(viewer: Page, service: str) -> None:
    hosts = script(
        viewer, "return performance.getEntriesByType('resource').map(({ name }) => name);"
    )
    assert hosts
    assert all(url.startswith(f"{service}/") for url in hosts)
    assert viewer.url == f"{service}/"
    kept = script(viewer, "return [localStorage.length, sessionStorage.length, document.cookie];")
    assert kept == [0, 0, ""]


def test_several_dropped_files_make_a_strip_and_none_vanishes(page: Page, service: str) -> None:
    page.goto(f"{service}/")
    data = list(sample_files.png_file(BRIGHT))
    drop = """
        const transfer = new DataTransfer();
        for (const name of ["one.png", "two.png", "three.png"])
          transfer.items.add(new File([new Uint8Array(given)], name, { type: "image/png" }));
        document.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
    """
    script(page, drop, data)
    expect(page.locator("#files li[data-state=done]")).to_have_count(3)
    names = page.locator("#files li button:first-child").all_inner_texts()
    assert names == ["✓ one.png", "✓ two.png", "✓ three.png"]
    expect(page.locator("#files [aria-current=true]")).to_have_text("✓ one.png")
    page.keyboard.press(".")
    expect(page.locator("#files [aria-current=true]")).to_have_text("✓ two.png")
    page.get_by_label("Close two.png").click()
    expect(page.locator("#files [aria-current=true]")).to_have_text("✓ three.png")
    expect(page.locator("#files li")).to_have_count(2)


def test_findings_are_sorted_with_threshold_word_and_icon(viewer: Page) -> None:
    rows = viewer.locator("#findings li").all_inner_texts()
    assert len(rows) == 2
    assert rows[0].startswith("●")
    assert "present at the threshold of 50 %" in rows[0]
    assert rows[1].startswith("○")
    assert "absent at the threshold of 50 %" in rows[1]
    tick = viewer.locator("#findings li svg rect").nth(2)
    assert float(tick.get_attribute("x") or 0) == pytest.approx(49.6)
    expect(viewer.locator("#findings p")).to_contain_text("Thresholds: 0.5, not tuned")


def test_dragging_changes_the_window_and_reset_brings_it_back(viewer: Page) -> None:
    viewer.keyboard.press("v")
    before = grays(viewer)
    np.testing.assert_allclose(before, RAMP[0] / 4095 * 255, atol=2)
    drag(viewer, -200, 0)  # narrower: more contrast
    steeper = grays(viewer)
    assert np.diff(steeper).max() > np.diff(before).max()
    expect(viewer.locator("#preset")).to_have_value("")
    drag(viewer, 0, -100)  # up: brighter
    assert grays(viewer).sum() > steeper.sum()
    viewer.click("#reset")
    viewer.mouse.move(0, 0)
    assert (grays(viewer) == before).all()


def test_presets_and_inversion_change_the_gray_values(viewer: Page) -> None:
    viewer.keyboard.press("v")
    before = grays(viewer)
    viewer.select_option("#preset", "narrow")
    narrow = grays(viewer)
    assert (narrow[:20] == 0).all()
    assert (narrow[-3:] == 255).all()
    viewer.select_option("#preset", "file")
    viewer.click("#invert")
    expect(viewer.locator("#invert")).to_have_attribute("aria-pressed", "true")
    assert (grays(viewer) == 255 - before).all()


def test_zoom_pan_fit_and_actual_size_move_the_image(viewer: Page) -> None:
    fit = Screen.of(viewer)
    viewer.click("#zoom-in")
    assert Screen.of(viewer).scale == pytest.approx(1.25 * fit.scale)
    viewer.click("[data-tool=pan]")
    before = Screen.of(viewer)
    drag(viewer, 30, -20)
    after = Screen.of(viewer)
    assert (after.x - before.x, after.y - before.y) == pytest.approx((30, -20))
    viewer.click("#actual")
    assert Screen.of(viewer).scale == pytest.approx(1)
    expect(viewer.locator("#zoom")).to_have_text("100 %")
    viewer.locator("#stage").hover()
    viewer.mouse.wheel(0, -400)
    assert Screen.of(viewer).scale > 1.2
    viewer.click("#fit")
    assert Screen.of(viewer).scale == pytest.approx(fit.scale)


def test_the_ruler_measures_in_millimetres(viewer: Page) -> None:
    viewer.click("[data-tool=ruler]")
    drag(viewer, 150, 0)
    scale = Screen.of(viewer).scale
    text = viewer.inner_text("#readout")
    viewer.mouse.move(0, 0)
    length = float(re.findall(r"Length ([\d.]+) mm|$", text)[0] or "nan")
    if np.isnan(length):  # the pointer reads values after it was let go
        drag(viewer, 150, 0)
        length = 150 / scale * 0.2
    assert length == pytest.approx(150 / scale * 0.2, abs=0.06)


def test_pointing_tells_place_value_and_structure(viewer: Page) -> None:
    screen = Screen.of(viewer)
    box = viewer.locator("#overlay").bounding_box()
    assert box is not None
    column, row = COLUMNS - 10, 100
    viewer.mouse.move(
        box["x"] + screen.x + (column + 0.5) * screen.scale,
        box["y"] + screen.y + (row + 0.5) * screen.scale,
    )
    value = round(int(RAMP[0, column]) / 4095 * 65535)
    text = viewer.inner_text("#readout")
    place, gray = re.findall(r"^x (\d+, y \d+) · gray (\d+)", text)[0]
    assert place == f"{column}, y {row}"
    assert abs(int(gray) - value) <= 16
    assert "Left lung" in text


def test_a_layer_has_a_switch_and_an_opacity_that_stay(viewer: Page, service: str) -> None:
    row = viewer.locator("#layers li[data-layer='mask:Left lung']")
    shown = Screen.of(viewer).pixels
    row.locator("input[type=range]").fill("60")
    assert (Screen.of(viewer).pixels != shown).any()
    row.locator("input[type=checkbox]").uncheck()
    viewer.set_input_files("#file", [payload("next.png", sample_files.png_file(BRIGHT), PNG)])
    expect(viewer.locator("#files li[data-state=done]")).to_have_count(2)
    expect(row.locator("input[type=checkbox]")).not_to_be_checked()
    expect(row.locator("input[type=range]")).to_have_value("60")
    viewer.locator("#all-layers").uncheck()
    screen = Screen.of(viewer)
    colourful = screen.pixels.max(-1).astype(int) - screen.pixels.min(-1) > 60
    assert not colourful[: ROWS // 2].any()


def test_phrases_are_located_listed_and_asked_of_the_next_image(viewer: Page) -> None:
    suggestions = viewer.locator("#vocabulary option").evaluate_all(
        "(all) => all.map((o) => o.value)"
    )
    assert "left lung" in suggestions
    methods = viewer.locator("#method option").evaluate_all("(all) => all.map((o) => o.value)")
    assert methods == ["aligned", "zero_shot"]
    viewer.fill("#phrase", "bright")
    viewer.press("#phrase", "Enter")
    asked = viewer.locator("#asked li")
    expect(asked).to_have_count(1)
    expect(asked).to_contain_text("does not decide (aligned)")
    viewer.select_option("#method", "zero_shot")
    viewer.fill("#phrase", "dark")
    viewer.click("#locate")
    expect(asked).to_have_count(2)
    viewer.set_input_files("#file", [payload("next.png", sample_files.png_file(BRIGHT), PNG)])
    expect(viewer.locator("#files li[data-state=done]")).to_have_count(2)
    expect(asked).to_have_count(2)
    expect(asked.nth(1)).to_contain_text("zero-shot")
    viewer.get_by_label("Remove the phrase bright").click()
    expect(asked).to_have_count(1)


def test_a_phrase_is_asked_of_images_that_were_opened_before(page: Page, service: str) -> None:
    page.goto(f"{service}/")
    page.fill("#phrase", "bright")
    page.press("#phrase", "Enter")
    expect(page.get_by_role("alert")).to_contain_text("Open a radiograph first")
    page.set_input_files("#file", [FILE, payload("b.png", sample_files.png_file(BRIGHT), PNG)])
    page.press("#phrase", "Enter")  # while they are analysed
    asked = page.locator("#asked li")
    expect(asked).to_have_count(1)
    expect(page.locator("#files li[data-state=done]")).to_have_count(2)
    page.fill("#phrase", "dark")
    page.press("#phrase", "Enter")
    expect(asked).to_have_count(2)
    page.get_by_label("b.png, analysed").click()
    expect(page.locator("#files [aria-current=true]")).to_have_text("✓ b.png")
    expect(asked).to_have_count(2)
    expect(asked.nth(1)).to_contain_text("dark")


def test_a_phrase_that_cannot_be_used_is_said_and_not_listed(viewer: Page) -> None:
    viewer.fill("#phrase", "bright " * 30)
    viewer.press("#phrase", "Enter")
    expect(viewer.locator("#problem")).to_be_visible()
    expect(viewer.locator("#asked li")).to_have_count(0)


def test_findings_of_a_doubtful_image_wait_until_confirmed(page: Page, service: str) -> None:
    black = payload("black.png", sample_files.png_file(BRIGHT), PNG)
    open_files(page, service, black)
    expect(page.locator("#warnings li")).to_contain_text("unlike the chest radiographs")
    expect(page.locator("#doubt")).to_contain_text("The model was not made for this image")
    expect(page.locator("#findings")).to_be_hidden()
    expect(page.locator("#layers li[data-layer^='box:']")).to_have_count(0)
    page.click("#confirm")
    expect(page.locator("#findings li")).to_have_count(2)
    expect(page.locator("#layers li[data-layer^='box:']")).to_have_count(1)
    expect(page.locator("#warnings")).to_be_visible()


def test_the_answer_is_saved_and_the_request_copied(viewer: Page, service: str) -> None:
    with viewer.expect_download() as saving:
        viewer.click("#save-json")
    answer = json.loads(Path(saving.value.path()).read_text())
    assert answer["model"]["name"] == "tiny"
    assert saving.value.suggested_filename == "answer.json"
    viewer.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=service)
    for button, expected in (
        (
            "#copy-curl",
            f"curl --data-binary @chest.dcm -H 'Content-Type: application/dicom' '{service}/",
        ),
        ("#copy-python", f'client = g2d.Client("{service}")'),
    ):
        viewer.click(button)
        expect(viewer.locator("#readout")).to_have_text("Copied to the clipboard.")
        assert expected in script(viewer, "return navigator.clipboard.readText();")


def test_a_dicom_file_can_be_answered_with_all_dicom_objects(viewer: Page) -> None:
    expect(viewer.locator("#save-dicom")).to_be_visible()
    with viewer.expect_download() as saving:
        viewer.click("#save-dicom")
    assert saving.value.suggested_filename == "dicom-objects.zip"
    with zipfile.ZipFile(saving.value.path()) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        files = [dcmread(io.BytesIO(archive.read(name))) for name in names]
    kinds = {"SEG": "segmentation", "SR": "report", "PR": "presentation-state", "OT": "overlay"}
    expected = [f"{n}-{kinds[file.Modality]}.dcm" for n, file in enumerate(files, 1)]
    assert names == expected
    assert {"SEG", "SR"} <= {file.Modality for file in files}
    viewer.set_input_files("#file", [payload("b.png", sample_files.png_file(BRIGHT), PNG)])
    expect(viewer.locator("#files li[data-state=done]")).to_have_count(2)
    expect(viewer.locator("#save-dicom")).to_be_hidden()


def test_the_disclaimer_stays_in_sight(viewer: Page) -> None:
    viewer.mouse.wheel(0, 3000)
    viewer.evaluate("scrollTo(0, document.body.scrollHeight)")
    box = viewer.locator("footer").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] == pytest.approx(900, abs=1)
    expect(viewer.locator("footer")).to_contain_text("Not a medical device")


def test_two_fingers_zoom_and_pan(browser: Browser, service: str) -> None:
    context = browser.new_context(
        viewport={"width": 800, "height": 1200}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    open_files(page, service, FILE)
    before = Screen.of(page)
    pinch = """
        const stage = document.getElementById("stage");
        const area = stage.getBoundingClientRect();
        const fire = (type, pointerId, x, y) => stage.dispatchEvent(new PointerEvent(type, {
          pointerId, pointerType: "touch", isPrimary: pointerId === 1, bubbles: true, buttons: 1,
          clientX: area.left + x, clientY: area.top + y }));
        stage.setPointerCapture = () => {};
        fire("pointerdown", 1, 300, 300);
        fire("pointerdown", 2, 400, 300);
        fire("pointermove", 2, 500, 300);
        fire("pointerup", 1, 300, 300);
        fire("pointerup", 2, 500, 300);
    """
    script(page, pinch)
    assert Screen.of(page).scale == pytest.approx(2 * before.scale)
    context.close()
