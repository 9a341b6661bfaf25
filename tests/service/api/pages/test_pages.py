"""Pages and their assets: from this host only, without inline scripts, with a strict policy."""

import re
from importlib import resources
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from docs import example
from service.api import pages

FOLDER = resources.files(pages.__package__ or "")
ASSETS = sorted(file.name for file in FOLDER.joinpath("assets").iterdir())
PICTURES = [name for name in ASSETS if name.endswith((".jpg", ".png"))]
NOTICE = Path(__file__).parents[4] / "NOTICE"
PAGES = {"/": "index.html", "/models": "models.html", "/jobs": "jobs.html", "/docs": "docs.html"}


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_has_a_strict_policy_and_nothing_inline(
    client: httpx.AsyncClient, path: str
) -> None:
    response = await client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'; style-src 'self'" in policy
    assert not re.search(r"unsafe|https?:|\*", policy)
    assert not re.search(r"<style|<script(?![^>]* src=)|\son\w+=|\sstyle=", response.text)
    assert "not a medical device" in response.text.lower()


async def test_links_are_relative_and_every_file_is_served(client: httpx.AsyncClient) -> None:
    linked = set()
    for path in PAGES:
        text = (await client.get(path)).text
        links = re.findall(r'(?:src|href)="([^"]*)"', text)
        assert not [link for link in links if re.match(r"/|\w+:", link) and link != "data:,"]
        linked |= {link.removeprefix("assets/") for link in links if link.startswith("assets/")}
    modules = {name for name in ASSETS if name.endswith(".js")}
    imported = set()
    for name in ASSETS:
        response = await client.get(f"/assets/{name}")
        assert response.status_code == 200
        assert response.headers["x-content-type-options"] == "nosniff"
        if name in modules:
            imported |= set(re.findall(r'from "\./([\w.]+)"', response.text))
    assert imported <= modules
    assert modules <= imported | linked


@pytest.mark.parametrize("name", [name for name in ASSETS if name not in PICTURES])
def test_a_file_names_no_other_host_and_stores_nothing(name: str) -> None:
    text = FOLDER.joinpath("assets", name).read_text(encoding="utf-8")
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert not re.search(r"localStorage|sessionStorage|indexedDB|document\.cookie|innerHTML", text)
    assert not re.search(r"history\.(push|replace)State", text)
    assert len(text.splitlines()) <= 400


@pytest.mark.parametrize("name", ["nothing.js", "..%2findex.html", "__init__.py"])
async def test_no_other_file_is_served(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"/assets/{name}")).status_code == 404


def test_samples_are_small_gray_offered_and_attributed() -> None:
    offered = FOLDER.joinpath("assets", "samples.js").read_text(encoding="utf-8")
    assert set(re.findall(r'file: "(.+?)"', offered)) == set(PICTURES)
    photographs = [name for name in PICTURES if name != "phantom.png"]
    assert len(photographs) == 2
    for name in photographs:
        with FOLDER.joinpath("assets", name).open("rb") as file, Image.open(file) as sample:
            assert sample.mode == "L"
            assert not sample.getexif()
            assert file.seek(0, 2) <= 100_000
        assert f"service/api/pages/assets/{name}\n" in NOTICE.read_text()


def test_the_drawn_sample_is_the_phantom_of_the_documentation() -> None:
    with FOLDER.joinpath("assets", "phantom.png").open("rb") as file, Image.open(file) as sample:
        np.testing.assert_array_equal(np.asarray(sample), np.asarray(example.phantom()))


@pytest.mark.parametrize("path", ["/", "/assets/viewer.js"])
async def test_a_file_that_the_browser_has_is_not_sent_again(
    client: httpx.AsyncClient, path: str
) -> None:
    first = await client.get(path)
    headers = {"if-none-match": first.headers["etag"]}
    again = await client.get(path, headers=headers)
    assert (again.status_code, again.content) == (304, b"")
    other = await client.get(path, headers={"if-none-match": '"0"'})
    assert other.content == first.content
