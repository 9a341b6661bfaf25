"""Links and paths in the documentation lead to files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "bench/reporting/report.md"]
)

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_PATH = re.compile(
    r"(?<![\w./*<>{}-])[\w.-]+(?:/[\w.-]+)+\.(?:Dockerfile|html|md|py|sbatch|sh|toml|ya?ml)(?![\w*<{])"
)
_FOLDER = re.compile(
    r"`((?:bench|deploy|docker|docs|g2d|radiograph|service|tests|training)/[\w./-]*)`"
)
_TEST = re.compile(r"`(test_\w+)`")


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub derives them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def missing_targets(page: Path) -> list[str]:
    """Relative links of a page whose file or heading does not exist."""
    missing = []
    for target in _LINK.findall(page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            missing.append(target)
    return missing


def missing_paths(text: str) -> list[str]:
    """Paths of the repository that a text names in code and that do not exist."""
    code = "\n".join(_CODE.findall(text))
    named = [*_PATH.findall(code), *_FOLDER.findall(text)]
    return [path for path in dict.fromkeys(named) if not (ROOT / path).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert missing_targets(page) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_of_the_repository_exists(page: Path) -> None:
    assert missing_paths(page.read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_is_named_exists(page: Path) -> None:
    named = _TEST.findall(page.read_text())
    assert [name for name in named if not [*(ROOT / "tests").rglob(f"{name}.py")]] == []


def test_a_stale_path_is_found() -> None:
    text = "See `training/data/tables.py` and `service/loading/`.\n```\npython bench/gone.py\n```\n"
    assert missing_paths(text) == ["training/data/tables.py", "bench/gone.py", "service/loading/"]


def test_a_stale_link_and_a_stale_heading_are_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# One `heading`, really\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](gone.md) [b](other.md#one-heading-really) [c](other.md#two) [d](https://x.y)"
    )
    assert missing_targets(page) == ["gone.md", "other.md#two"]
