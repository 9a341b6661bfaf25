"""Every error is said in words, and nothing is lost by it."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.builders.files import sample_files
from tests.builders.service.pages import served_page
from tests.builders.service.pages.served_page import Served
from tests.builders.service.pages.viewer import PNG, payload, script
from tests.fixtures.service import COLUMNS, RECTANGLE, ROWS

FILE = payload(
    "chest.png", sample_files.png_file(sample_files.bright_rectangle(ROWS, COLUMNS, RECTANGLE)), PNG
)
ANALYZE = "**/v1/analyze*"


def problem(status: int, slug: str, title: str, **headers: str) -> Callable[[Route], None]:
    """Return a handler that answers with a problem, as the service does."""
    body = {"type": f"urn:g2d:problem:{slug}", "title": title, "status": status, "request_id": "r1"}

    def answer(route: Route) -> None:
        route.fulfill(
            status=status,
            headers=headers,
            content_type="application/problem+json",
            body=json.dumps(body),
        )

    return answer


def open_one(page: Page, service: str) -> None:
    page.goto(f"{service}/")
    page.set_input_files("#file", [FILE])


@pytest.mark.parametrize(
    ("name", "data", "media_type", "said"),
    [
        ("notes.txt", b"no image", "text/plain", "Unsupported media type"),
        ("cut.png", bytes(FILE["buffer"])[:100], PNG, "cannot be decoded"),
        ("colour.png", sample_files.colour_png_file(), PNG, "colour"),
        ("empty.dcm", b"", "application/dicom", "empty"),
        ("large.png", bytes(2_100_000), PNG, "2000000 bytes"),
    ],
)
def test_a_bad_file_is_named_and_the_next_one_opens(
    page: Page, service: str, name: str, data: bytes, media_type: str, said: str
) -> None:
    page.goto(f"{service}/")
    page.set_input_files("#file", [payload(name, data, media_type), FILE])
    expect(page.locator("#files li[data-state=failed]")).to_have_count(1)
    expect(page.locator("#files li[data-state=done]")).to_have_count(1)
    expect(page.get_by_role("alert")).to_contain_text(said, ignore_case=True)
    page.get_by_label("chest.png, analysed").click()
    expect(page.locator("#facts")).to_contain_text(f"{COLUMNS} × {ROWS} px")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_service_that_is_gone_is_said_and_can_be_tried_again(
    page: Page, tiny_models: Path, tmp_path: Path
) -> None:
    port = served_page.free_port()
    with served_page.running(tiny_models, tmp_path, port=port) as served:
        page.goto(f"{served.address}/")
        expect(page.locator("#vocabulary option").first).to_be_attached()
    page.set_input_files("#file", [FILE])
    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached")
    with served_page.running(tiny_models, tmp_path, port=port):
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("#files li[data-state=done]")).to_have_count(1)
        expect(page.get_by_role("alert")).to_be_hidden()


@pytest.fixture(scope="module")
def narrow(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service that takes one request at a time."""
    state = tmp_path_factory.mktemp("narrow")
    with served_page.running(tiny_models, state, workers="1", waiting="0") as served:
        yield served


def test_an_overloaded_service_is_said_and_can_be_tried_again(page: Page, narrow: Served) -> None:
    def occupy() -> int:
        headers = {"content-type": PNG}
        answer = httpx.post(
            f"{narrow.address}/classify", content=FILE["buffer"], headers=headers, timeout=60
        )
        return answer.status_code

    page.goto(f"{narrow.address}/")
    expect(page.locator("#vocabulary option").first).to_be_attached()  # its last request of its own
    with ThreadPoolExecutor(1) as other:
        with narrow.stopped_decoders():
            waiting = other.submit(occupy)
            until_in_flight(narrow, 1)
            page.set_input_files("#file", [FILE])
            expect(page.get_by_role("alert")).to_contain_text(
                "too many requests in progress", ignore_case=True
            )
            expect(page.get_by_role("alert")).to_contain_text("Request ")
        assert waiting.result(60) == 200
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#files li[data-state=done]")).to_have_count(1)


def until_in_flight(served: Served, number: int) -> None:
    """Wait until as many requests are in progress."""
    while (
        f"g2d_requests_in_flight {number}.0"
        not in httpx.get(f"{served.address}/metrics", timeout=60).text.splitlines()
    ):
        time.sleep(0.05)


def test_the_time_that_a_service_asks_to_wait_is_said(page: Page, service: str) -> None:
    busy = {"Retry-After": "7"}
    page.route(ANALYZE, problem(503, "overloaded", "The service is overloaded", **busy))
    open_one(page, service)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The service is overloaded")
    expect(alert).to_contain_text("The service asks to wait 7 s")
    expect(alert).to_contain_text("Request r1")
    page.unroute(ANALYZE)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#files li[data-state=done]")).to_have_count(1)


def test_a_slow_answer_shows_progress_and_can_be_cancelled(page: Page, narrow: Served) -> None:
    with narrow.stopped_decoders():
        open_one(page, narrow.address)
        expect(page.locator("#progress")).to_contain_text("Analysing, 1 s")
        page.click("#cancel")
        expect(page.get_by_role("alert")).to_contain_text("Cancelled")
        expect(page.locator("#busy")).to_be_hidden()
    until_in_flight(narrow, 0)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#files li[data-state=done]")).to_have_count(1)


def test_a_service_with_keys_asks_for_one_and_keeps_it_in_memory(
    page: Page, guarded_service: tuple[str, str]
) -> None:
    address, key = guarded_service
    open_one(page, address)
    dialog = page.get_by_role("dialog", name="Sign in")
    dialog.get_by_label("API key").fill("wrong")
    dialog.get_by_label("API key").press("Enter")
    expect(dialog).to_contain_text("not known")
    dialog.get_by_label("API key").fill(key)
    dialog.get_by_role("button", name="Sign in").click()
    expect(page.locator("#files li[data-state=done]")).to_have_count(1)
    expect(page.locator("#sign-in")).to_have_text("Sign out")
    page.reload()
    expect(page.locator("#sign-in")).to_have_text("Sign in")


def test_a_sign_in_that_is_cancelled_leaves_the_file_to_be_tried_again(
    page: Page, guarded_service: tuple[str, str]
) -> None:
    open_one(page, guarded_service[0])
    page.get_by_role("dialog", name="Sign in").get_by_role("button", name="Cancel").click()
    expect(page.locator("#files li[data-state=failed]")).to_have_count(1)
    expect(page.get_by_role("alert")).to_contain_text("Authorization")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_patient_data_stay_out_of_the_address_and_the_request(page: Page, service: str) -> None:
    page.goto(f"{service}/")
    spy = """
        const send = window.fetch;
        window.sent = [];
        window.fetch = (url, options) => {
          const parts = options.body instanceof FormData ? [...options.body] : null;
          const named = parts?.map(([name, part]) => [name, part.name ?? part]);
          if (named) window.sent.push(url, ...named);
          return send(url, options);
        };
    """
    script(page, spy)
    page.set_input_files("#file", [payload("Doe^Jane.png", FILE["buffer"], PNG)])
    expect(page.locator("#files li[data-state=done]")).to_have_count(1)
    sent = script(page, "return window.sent;")
    assert sent == ["v1/analyze?heatmap=float", ["file", "radiograph"]]
    assert page.url == f"{service}/"
