"""All pages work below a path of a proxy, and ask for nothing outside of it."""

from playwright.sync_api import Page, expect

from tests.builders.files import sample_files
from tests.builders.service.http import prefix_proxy
from tests.builders.service.pages.viewer import open_files, payload, script
from tests.fixtures.service import COLUMNS, RECTANGLE, ROWS

FILE = payload(
    "a.dcm", sample_files.dicom_file(sample_files.bright_rectangle(ROWS, COLUMNS, RECTANGLE))
)


def test_every_page_works_below_a_path(page: Page, service: str) -> None:
    with prefix_proxy.below(service, "/clinic/g2d") as (address, strays):
        open_files(page, address, FILE)
        page.click("nav >> text=Models")
        expect(page.locator("#content")).to_contain_text("tiny")
        page.click("nav >> text=Jobs")
        expect(page.locator("#content")).to_contain_text("New job")
        page.click("nav >> text=Interface")
        expect(page.locator("#content")).to_contain_text("/v1/analyze")
        servers = "return (await (await fetch('openapi.json')).json()).servers;"
        assert script(page, servers) == [{"url": "/clinic/g2d"}]
        page.click("nav >> text=Viewer")
        expect(page.locator("#open")).to_be_visible()
        page.goto(f"{address}/docs")
        page.goto(address)  # without a slash at its end
        expect(page.get_by_text("Drop chest radiographs here")).to_be_visible()
        page.get_by_role("button", name="drawing").click()
        expect(page.locator("#files li[data-state=done]")).to_have_count(1)
        page.goto(f"{address}/docs#type-AnalyzeAnswer")
        page.locator("#type-AnalyzeAnswer").get_by_role("link", name="FindingAnswer").click()
        expect(page.locator("#type-FindingAnswer")).to_have_attribute("open", "")
        assert page.url == f"{address}/docs#type-FindingAnswer"
    assert strays == []
