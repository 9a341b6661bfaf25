"""docs/benchmark.md is the report of the recorded figures."""

import json
from pathlib import Path

from bench.reporting import report

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_written_from_its_figures() -> None:
    figures = json.loads((DOCS / "benchmark.json").read_text())
    assert report.markdown(figures, "benchmark.svg") == (DOCS / "benchmark.md").read_text()
