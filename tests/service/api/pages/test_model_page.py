"""The page of models: versions, figures, cards, and the way back to an earlier version."""

from playwright.sync_api import Page, expect

from tests.builders.files import sample_files
from tests.builders.models.versions import distinct_versions
from tests.builders.service.pages.viewer import PNG, payload
from tests.fixtures.service import COLUMNS, ROWS

BLACK = payload(
    "a.png", sample_files.png_file(sample_files.bright_rectangle(ROWS, COLUMNS, (0, 0, 9, 9))), PNG
)


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")


def test_a_version_shows_its_state_contents_and_card(page: Page, service: str) -> None:
    page.goto(f"{service}/models")
    version = page.get_by_role("article", name="Version 1")
    expect(version.get_by_role("heading")).to_have_text("Version 1 ready")
    expect(version).to_contain_text("classify, segment, detect, ground")
    version.get_by_text("Contents").click()
    expect(version).to_contain_text("classify: Lung opacity")
    version.get_by_text("Card", exact=True).click()
    expect(version.locator("pre")).to_contain_text("For tests.")
    version.get_by_text("Figures", exact=True).click()
    expect(version).to_contain_text("no figures of a test split")


def test_two_versions_are_compared(page: Page, guarded_service: tuple[str, str]) -> None:
    address, key = guarded_service
    page.goto(f"{address}/")
    page.set_input_files("#file", [BLACK])
    sign_in(page, key)
    expect(page.locator("#files li[data-state=done]")).to_have_count(1)
    expect(page.locator("#compare")).to_be_visible()
    page.select_option("#other", index=1)
    row = page.locator("#comparison tbody tr", has_text="Lung opacity")
    expect(row).to_be_visible()
    one, other = (round(100 * distinct_versions.probability(bias)) for bias in (1.0, 2.0))
    shown = row.inner_text()
    assert abs(int(shown.split("%")[0].split()[-1]) - one) <= 2
    assert abs(int(shown.split("%")[1].split()[-1]) - other) <= 2
    expect(page.locator("#comparison")).to_contain_text("Overlap (Dice)")
    expect(page.locator("#comparison tr", has_text="Left lung")).to_contain_text("1.00")
    page.locator("#stage").focus()
    page.keyboard.press("x")
    expect(page.get_by_role("button", name="Draw version 1")).to_be_visible()


def test_an_alias_is_rolled_back_with_a_key(page: Page, guarded_service: tuple[str, str]) -> None:
    address, key = guarded_service
    page.goto(f"{address}/models")
    sign_in(page, key)
    page.get_by_role("article", name="Version 1").get_by_label("Roll stable back").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.locator("#status")).to_have_text("stable points to version 2 now.")
    expect(page.get_by_role("article", name="Version 2")).to_contain_text("stable")


def test_without_a_credential_for_changes_nothing_is_rolled_back(page: Page, service: str) -> None:
    page.goto(f"{service}/models")
    page.get_by_label("Roll stable back").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("alert")).to_contain_text("G2D_ADMIN_TOKEN")
