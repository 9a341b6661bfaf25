"""The page of jobs: sends radiographs, shows progress, saves and deletes results."""

import io
import json
import zipfile
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.builders.files import sample_files
from tests.builders.service.pages.viewer import PNG, payload
from tests.fixtures.service import COLUMNS, RECTANGLE, ROWS

DATA = sample_files.png_file(sample_files.bright_rectangle(ROWS, COLUMNS, RECTANGLE))


def test_a_job_is_sent_followed_saved_and_deleted(page: Page, service: str) -> None:
    page.goto(f"{service}/jobs")
    expect(page.locator("#none")).to_contain_text("Jobs without a key are not listed")
    page.set_input_files(
        "#job-files", [payload("one.png", DATA, PNG), payload("two.png", b"x", PNG)]
    )
    page.get_by_role("button", name="Send").click()
    job = page.locator("[data-job]")
    expect(job).to_contain_text("2 of 2 answered: 1 succeeded, 1 failed.", timeout=30_000)
    expect(job.locator("h2")).to_contain_text("finished")
    assert job.locator("progress").evaluate("(bar) => [bar.value, bar.max]") == [2, 2]
    job.get_by_text("Radiographs").click()
    expect(job.locator("tr")).to_have_count(2)
    expect(job.locator("tr").nth(1)).to_contain_text("failed")
    with page.expect_download() as saving:
        job.get_by_role("button", name="Save the results").click()
    lines = Path(saving.value.path()).read_text().splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["succeeded", "failed"]
    identifier = job.get_attribute("data-job") or ""
    assert identifier not in page.url
    job.get_by_role("button", name="Delete").click()
    expect(job).to_have_count(0)
    page.get_by_label("Identifier").fill(identifier)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("no such job")


def test_a_zip_file_is_one_job_with_a_phrase(page: Page, service: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("a.png", "b.png"):
            archive.writestr(name, DATA)
    page.goto(f"{service}/jobs")
    zipped = payload("study.zip", buffer.getvalue(), "application/zip")
    page.set_input_files("#job-files", [zipped])
    page.get_by_label("Phrase").fill("bright")
    page.get_by_role("button", name="Send").click()
    job = page.locator("[data-job]")
    expect(job).to_contain_text("2 of 2 answered: 2 succeeded, 0 failed.", timeout=30_000)


def test_jobs_of_a_key_are_listed(page: Page, guarded_service: tuple[str, str]) -> None:
    address, key = guarded_service
    page.goto(f"{address}/jobs")
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    expect(page.locator("#none")).to_have_text("There are no jobs.")
