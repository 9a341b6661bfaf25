"""Pages are brought up to date with the manifest of the shipped model, row by row."""

import re
from pathlib import Path

import pytest

from bench.reporting.model_figures import brought_up_to_date
from radiograph.manifest import ModelManifest, Task
from radiograph.repository.repository import Repository

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def manifest() -> ModelManifest:
    models = Repository(ROOT / "models")
    return models.load_manifest("g2d-cxr", models.resolve("g2d-cxr", "stable"))


@pytest.mark.parametrize("page", ["README.md", "docs/model.md"])
def test_the_pages_are_up_to_date(page: str, manifest: ModelManifest) -> None:
    text = (ROOT / page).read_text()
    assert brought_up_to_date(text, manifest) == text


def test_old_figures_are_written_anew(manifest: ModelManifest) -> None:
    text = (ROOT / "docs/model.md").read_text()
    old = re.sub(r"(dice|auroc) \| [\d.]+ \| [\d.]+ to", r"\1 | 0.123 | 0.001 to", text)
    assert old != text
    assert brought_up_to_date(old, manifest) == text


def test_decisions_are_added_for_what_is_answered_and_removed_for_what_is_withheld(
    manifest: ModelManifest,
) -> None:
    (name,) = manifest.heads_for(Task.CLASSIFY)
    text = (ROOT / "docs/model.md").read_text()
    head = manifest.heads[name]
    answered = next(label.name for label in head.labels if label.threshold < 1)
    labels = [
        label.model_copy(update={"threshold": 1.0}) if label.name == answered else label
        for label in head.labels
    ]
    heads = {**manifest.heads, name: head.model_copy(update={"labels": tuple(labels)})}
    withheld = brought_up_to_date(text, manifest.model_copy(update={"heads": heads}))
    assert f"| {answered} | sensitivity |" in text
    assert f"| {answered} | sensitivity |" not in withheld
    assert brought_up_to_date(withheld, manifest) == text


def test_a_figure_that_the_version_lacks_is_removed_and_prose_is_kept(
    manifest: ModelManifest,
) -> None:
    text = "Words.\n\n| nowhere | Heart | dice | 0.900 | 0.800 to 0.950 | 12 |\n\n| a | b |"
    assert brought_up_to_date(text, manifest) == "Words.\n\n\n| a | b |"
