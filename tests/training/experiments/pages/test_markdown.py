"""Markdown: means with their spread, and pages of which one part is generated."""

from pathlib import Path

import pytest

from training.experiments.pages.markdown import grid, markers, mean_and_spread, rewrite

MARKERS = markers("table 1")
BEGIN, END = MARKERS.begin, MARKERS.end


def test_mean_and_spread_are_those_of_the_seeds() -> None:
    assert mean_and_spread([0.5, 0.6, 0.7]) == "60.0 ± 10.0"  # sample standard deviation
    assert mean_and_spread([0.5]) == "50.0"
    assert mean_and_spread([]) == "missing"
    assert mean_and_spread([0.01, 0.03], sign=True) == "+2.0 ± 1.4"
    assert mean_and_spread([-0.0001], sign=True) == "+0.0"


def test_a_grid_has_a_line_for_each_row() -> None:
    assert grid(["A", "B"], [["1", ""]]) == "| A | B |\n| --- | --- |\n| 1 |  |\n"


def test_only_the_part_between_the_markers_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"Words.\n\n{BEGIN}old\n{END}\nWhat it means.\n")
    rewrite(page, "new\n", MARKERS)
    rewrite(page, "newer\n", MARKERS)
    assert page.read_text() == f"Words.\n\n{BEGIN}newer\n{END}\nWhat it means.\n"


@pytest.mark.parametrize("text", ["Words.\n", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_a_page_without_its_markers_is_left_alone(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match="each once"):
        rewrite(page, "new\n", MARKERS)
    assert page.read_text() == text
