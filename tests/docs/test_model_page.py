"""The figures of the shipped model on the pages are those of its manifest."""

import re
from pathlib import Path

import pytest

from radiograph.repository.repository import Repository

ROOT = Path(__file__).parents[2]
MODELS = Repository(ROOT / "models")
_ROW = re.compile(
    r"^\| (\w+) \| (.+?) \| (.+?) \| ([\d.]+) \| ([\d.]+) to ([\d.]+) \| (\d+) \|$", re.MULTILINE
)


@pytest.mark.parametrize("page", ["README.md", "docs/model.md"])
def test_every_figure_is_that_of_the_manifest(page: str) -> None:
    manifest = MODELS.load_manifest("g2d-cxr", MODELS.resolve("g2d-cxr", "stable"))
    measured = {
        (
            metric.data,
            metric.label,
            metric.metric,
            f"{metric.value:.3f}",
            f"{metric.low:.3f}",
            f"{metric.high:.3f}",
            str(metric.n),
        )
        for metric in manifest.provenance.metrics
    }
    rows = _ROW.findall((ROOT / page).read_text())
    assert len(rows) >= 10
    assert [row for row in rows if row not in measured] == []


@pytest.mark.parametrize("page", ["README.md", "docs/model.md"])
def test_the_version_that_is_described_is_the_stable_one(page: str) -> None:
    named = set(re.findall(r"models/g2d-cxr/(\d+)", (ROOT / page).read_text()))
    assert named == {str(MODELS.resolve("g2d-cxr", "stable"))}
