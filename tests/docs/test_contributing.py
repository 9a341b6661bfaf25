"""CONTRIBUTING.md maps every package, so that a new one must be documented."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
PACKAGES = ("radiograph", "service", "training", "g2d", "bench")


def rooms(package: str) -> set[str]:
    """Directories of a package that hold Python files, as `package/room/`."""
    folders = {file.parent for file in (ROOT / package).rglob("*.py")}
    return {f"{folder.relative_to(ROOT)}/" for folder in folders}


def mapped() -> set[str]:
    """Directories that the map lists, each with a sentence of its own."""
    (section,) = re.findall(r"^## Map\n(.*?)^## ", TEXT, re.MULTILINE | re.DOTALL)
    lines: list[str] = re.findall(r"^\s*- ((?:`[\w/]+/`(?:, )?)+): \w.*", section, re.MULTILINE)
    return {name for line in lines for name in re.findall(r"`([\w/]+/)`", line)}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_map_names_every_room_of_a_package(package: str) -> None:
    assert rooms(package) - mapped() == set()


def test_the_map_names_no_room_that_is_gone() -> None:
    assert {name for name in mapped() if not (ROOT / name).is_dir()} == set()


def test_the_page_beside_its_map_can_be_read_in_three_minutes() -> None:
    prose = re.sub(r"^## Map\n.*?^## ", "## ", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert 200 <= len(prose.split()) <= 600
