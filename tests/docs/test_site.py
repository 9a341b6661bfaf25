"""The documentation site is complete and fetches nothing from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.site_links import on_page_markdown
from service.api.http.problems import KINDS
from service.settings import OPTIONS, PREFIX

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. A link or anchor that leads nowhere, or a page without a place, fails."""
    out = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", out],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=True,
    )
    return out


def test_every_page_is_built(site: Path) -> None:
    assert {page.stem for page in PAGES} <= {page.stem for page in site.glob("*.html")}


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    loading = re.compile(
        r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//"
    )
    styled = re.compile(r"(?:@import|url\()\s*[\"']?(?:https?:)?//")
    pages = list(site.rglob("*.html"))
    assert len(pages) >= len(PAGES)
    assert [page.name for page in pages if loading.search(page.read_text())] == []
    assert [file.name for file in site.rglob("*.css") if styled.search(file.read_text())] == []


def test_files_outside_the_site_are_named_instead_of_linked() -> None:
    text = "See [SECURITY.md](../SECURITY.md), [the card](../models/a/CARD.md) and [api](api.md)."
    assert on_page_markdown(text) == (
        "See `SECURITY.md`, the card (`models/a/CARD.md`) and [api](api.md)."
    )


@pytest.mark.parametrize("name", ["deployment", "troubleshooting", "python", "command"])
def test_every_setting_and_problem_that_is_named_exists(name: str) -> None:
    text = (ROOT / f"docs/{name}.md").read_text()
    named = {found.lower() for found in re.findall(rf"\b{PREFIX}([A-Z_]+)", text)}
    assert named - OPTIONS.keys() == set()
    known = {(str(kind.status), kind.slug) for kind in KINDS.values()}
    assert set(re.findall(r"`(\d{3}) ([a-z-]+)`", text)) - known == set()
