"""The documentation: every operation and type, links between types, and requests from the page."""

import json

import httpx
from playwright.sync_api import Page, expect

from tests.builders.files import sample_files
from tests.builders.service.pages.viewer import PNG, payload
from tests.fixtures.service import COLUMNS, RECTANGLE, ROWS

DATA = sample_files.png_file(sample_files.bright_rectangle(ROWS, COLUMNS, RECTANGLE))


def test_every_operation_and_type_is_listed(page: Page, service: str) -> None:
    document = httpx.get(f"{service}/openapi.json").json()
    page.goto(f"{service}/docs")
    expect(page.locator("#content details").first).to_be_attached()
    paths = page.locator("summary .verb + code").all_inner_texts()
    assert sorted(set(paths)) == sorted(document["paths"])
    types = page.locator("details[id^=type-]").evaluate_all("(all) => all.map(({ id }) => id)")
    assert types == [f"type-{name}" for name in document["components"]["schemas"]]


def test_types_link_to_each_other(page: Page, service: str) -> None:
    page.goto(f"{service}/docs#type-AnalyzeAnswer")
    answer = page.locator("#type-AnalyzeAnswer")
    expect(answer).to_have_attribute("open", "")
    answer.get_by_role("link", name="FindingAnswer").click()
    finding = page.locator("#type-FindingAnswer")
    expect(finding).to_have_attribute("open", "")
    expect(finding).to_contain_text("probability")
    broken = page.locator("#content a").evaluate_all(
        "(all) => all.map((a) => a.hash.slice(1)).filter((id) => !document.getElementById(id))"
    )
    assert broken == []


def test_a_request_is_tried_from_the_page(page: Page, service: str) -> None:
    page.goto(f"{service}/docs")
    operation = page.locator("details", has=page.locator("summary", has_text="/v1/ground"))
    operation.locator("summary").click()
    form = operation.get_by_role("form", name="Try POST /v1/ground")
    form.get_by_label("phrase").fill("bright")
    form.locator("input[type=file]").set_input_files([payload("a.png", DATA, PNG)])
    form.get_by_role("button", name="Send").click()
    expect(form.get_by_role("status")).to_contain_text("200 in")
    answer = json.loads(form.locator("pre").nth(1).inner_text())
    assert answer["phrases"][0]["phrase"] == "bright"
    form.get_by_label("Accept").select_option("image/png")
    form.get_by_role("button", name="Send").click()
    expect(form.get_by_role("button", name="Save")).to_contain_text("image/png")
    form.get_by_label("phrase").fill("")
    form.get_by_role("button", name="Send").click()
    expect(form.get_by_role("status")).to_contain_text("422")


def test_a_path_parameter_is_filled_in(page: Page, service: str) -> None:
    page.goto(f"{service}/docs")
    name = "Try GET /v1/models/{name}/versions/{version}"
    operation = page.locator("details", has=page.get_by_role("form", name=name, exact=True))
    page.locator("summary", has_text="/v1/models/{name}/versions/{version}").first.click()
    form = operation.get_by_role("form", name=name, exact=True)
    form.get_by_label("name (required)").fill("tiny")
    form.get_by_label("version (required)").fill("stable")
    form.get_by_role("button", name="Send").click()
    expect(form.get_by_role("status")).to_contain_text('"intended_use": "tests"')
