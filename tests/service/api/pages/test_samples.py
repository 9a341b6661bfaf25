"""The samples of the viewer: opened by a button, listed with their sources."""

import pytest
from playwright.sync_api import Page, expect

from tests.builders.files import sample_files
from tests.builders.service.pages.viewer import PNG, open_files, payload
from tests.fixtures.service import COLUMNS, RECTANGLE, ROWS

FILE = payload(
    "chest.png", sample_files.png_file(sample_files.bright_rectangle(ROWS, COLUMNS, RECTANGLE)), PNG
)
SAMPLES = {"man of 57": "512 × 512 px", "small child": "224 × 224 px", "drawing": "600 × 640 px"}


@pytest.mark.parametrize(("text", "size"), SAMPLES.items(), ids=SAMPLES)
def test_a_sample_is_opened_by_its_button(page: Page, service: str, text: str, size: str) -> None:
    page.goto(f"{service}/")
    page.get_by_role("button", name=text).click()
    expect(page.locator("#files li[data-state=done]")).to_have_count(1)
    expect(page.locator("#facts")).to_contain_text(size)


def test_samples_are_listed_with_their_sources(page: Page, service: str) -> None:
    open_files(page, service, FILE)
    page.click("#sample")
    sheet = page.get_by_role("dialog", name="Samples")
    expect(sheet.locator("li")).to_have_count(3)
    expect(sheet).to_contain_text("provided by the NIH Clinical Center")
    expect(sheet).to_contain_text("CC BY 4.0")
    sheet.get_by_role("button", name="small child").click()
    expect(sheet).to_be_hidden()
    expect(page.locator("#files li[data-state=done]")).to_have_count(2)
    expect(page.locator("#facts")).to_contain_text("224 × 224 px")
