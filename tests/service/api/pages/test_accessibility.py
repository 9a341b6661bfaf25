"""The pages can be used with the keyboard alone, and axe finds no serious fault."""

import re
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.builders.files import sample_files
from tests.builders.service.pages.viewer import PNG, Screen, open_files, payload
from tests.fixtures.service import COLUMNS, RECTANGLE, ROWS

PIXELS = sample_files.bright_rectangle(ROWS, COLUMNS, RECTANGLE)
FILE = payload("chest.dcm", sample_files.dicom_file(PIXELS))


def serious(page: Page) -> list[str]:
    """Return the rules that axe finds broken seriously."""
    violations: list[dict[str, Any]] = Axe().run(page).response["violations"]
    grave = [item for item in violations if item["impact"] in ("serious", "critical")]
    return [f"{item['id']}: {item['nodes'][0]['html'][:120]}" for item in grave]


@pytest.mark.parametrize("path", ["", "models", "jobs", "docs"])
def test_axe_finds_no_serious_fault_in_a_page(page: Page, service: str, path: str) -> None:
    page.goto(f"{service}/{path}")
    if path:
        expect(page.locator("#content")).not_to_have_text("Loading …")
    for summary in page.locator("summary").all()[:8]:
        summary.click()
    assert serious(page) == []


def test_axe_finds_no_serious_fault_in_a_result(page: Page, service: str) -> None:
    open_files(page, service, FILE)
    page.fill("#phrase", "bright")
    page.press("#phrase", "Enter")
    expect(page.locator("#asked li")).to_have_count(1)
    assert serious(page) == []
    page.click("#confirm")
    page.locator("#stage").focus()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert serious(page) == []


def test_everything_is_done_by_keyboard(page: Page, service: str) -> None:
    page.on("filechooser", lambda _: None)  # from now on, no dialog of the system opens
    page.goto(f"{service}/")
    focused = page.locator(":focus")
    for _ in range(12):
        page.keyboard.press("Tab")
        if focused.get_attribute("id") == "open":
            break
    with page.expect_file_chooser() as choosing:
        page.keyboard.press("Enter")
    choosing.value.set_files([FILE, payload("b.png", sample_files.png_file(PIXELS), PNG)])
    expect(page.locator("#files li[data-state=done]")).to_have_count(2)
    with page.expect_file_chooser():
        page.keyboard.press("o")
    page.locator("#stage").focus()
    before = Screen.of(page)
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    after = Screen.of(page)
    assert after.scale > before.scale
    page.keyboard.press("i")
    expect(page.locator("#invert")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Shift+ArrowLeft")
    expect(page.locator("#preset")).to_have_value("")
    page.keyboard.press("w")
    expect(page.locator("#preset")).to_have_value("file")
    page.keyboard.press("3")
    expect(page.locator("[data-tool=ruler]")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("r")
    assert Screen.of(page).scale == before.scale
    page.keyboard.press("f")
    expect(page.locator("#phrase")).to_be_focused()
    page.keyboard.type("dark left +?")
    expect(page.locator("#phrase")).to_have_value("dark left +?")
    page.get_by_role("dialog").wait_for(state="hidden")


def test_the_cursor_reads_and_measures_by_keyboard(page: Page, service: str) -> None:
    open_files(page, service, FILE)
    page.locator("#stage").focus()
    readout = page.locator("#readout")
    page.keyboard.press("c")
    expect(readout).to_contain_text("x 60, y 80 · gray 0 (0 %)")
    expect(readout).to_have_attribute("aria-live", "polite")
    for key in ("ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    expect(readout).to_contain_text("x 59, y 79 · gray 65535 (100 %)")
    page.keyboard.press("m")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("m")
    expect(readout).to_have_text("Length 4.0 mm")  # 20 pixels of 0.2 mm
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowLeft")
    assert Screen.of(page).x != 0


def test_the_sheet_lists_the_keys_of_the_documentation(page: Page, service: str) -> None:
    text = (Path(__file__).parents[4] / "docs/viewer.md").read_text()
    rows = re.findall(r"^\| (`.*`) \| (.*) \|$", text, re.MULTILINE)
    documented = [(keys.replace("`", ""), meaning) for keys, meaning in rows]
    page.goto(f"{service}/")
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keys")
    listed = [tuple(row.locator("td").all_inner_texts()) for row in sheet.locator("tr").all()]
    assert len(listed) > 20
    assert listed == documented
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
