"""The table of what must hold: the worst figure of each requirement, and tables of the page."""

from pathlib import Path

import pytest

from bench.reporting.must_hold import BEGIN, END, Requirement, with_table
from radiograph.manifest import Metric, ModelManifest, Task
from radiograph.repository.repository import Repository

MODELS = Repository(Path(__file__).parents[3] / "models")


def _metric(value: float, label: str = "Left lung") -> Metric:
    return Metric(
        data="a_set", split="test", task=Task.SEGMENT, label=label, metric="dice", value=value,
        low=value, high=value, n=7,
    )  # fmt: skip


@pytest.fixture(scope="module")
def manifest() -> ModelManifest:
    return MODELS.load_manifest("g2d-cxr", MODELS.resolve("g2d-cxr", "stable"))


def test_the_worst_figure_decides_and_is_named() -> None:
    asked = Requirement("lungs", 0.9, lambda m: m.metric == "dice")
    row = asked.row([_metric(0.95), _metric(0.85, "Right lung"), _metric(0.9)])
    assert row == "| lungs | at least 0.9 | 0.850 (Right lung, a_set, 7 images) | 2 of 3 | no |"


def test_an_error_must_be_small_and_a_figure_that_is_missing_is_said_to_be() -> None:
    error = Requirement("error", 0.05, lambda m: m.metric == "dice", at_most=True)
    assert error.row([_metric(0.02), _metric(0.04)]).endswith("| 2 of 2 | yes |")
    assert error.row([_metric(0.02), _metric(0.2)]).endswith("| 1 of 2 | no |")
    assert error.row([]) == "| error | at most 0.05 | not measured | | |"
    why = Requirement("x", 1, lambda m: m.metric == "iou", without="there are no masks")
    assert why.row([_metric(2)]) == "| x | at least 1 | not measured: there are no masks | | |"


def test_figures_of_other_tables_of_the_page_are_taken_up(manifest: ModelManifest) -> None:
    tables = (
        "| a_set | decisions that stay | all changes | 0.111 | 0.222 | 12 |\n"
        "| a_set | anatomy | Right lung | dice | 0.900 | 0.333 | -0.567 | -0.6 to -0.5 | 28 |\n"
        "| a_set | No finding | 0.850 | 0.600 to 0.900 | 0.500 | 0.600 | 13 of 68 |\n"
        "| a_set | No finding, in no stage | 0.444 | 0.100 to 0.900 | 0.5 | 0.6 | 3 of 16 |\n"
        "| a_set | Effusion | 0.111 | 0.100 to 0.900 | withheld | withheld | 3 of 16 |\n"
    )
    page = with_table(f"{tables}\n{BEGIN}\nan earlier table\n{END}\nmore", manifest)
    assert "at least 0.975 | 0.222 (all changes, a_set, 12 images) | 0 of 1 | no |" in page
    assert "source left out | at least 0.95 | 0.333 (Right lung, a_set, 28 images) | 0 of" in page
    hospital = "0.444 (No finding, in no stage, a_set, 16 images) | 1 of 2 | no |"
    assert f"unseen hospital | at least 0.8 | {hospital}" in page
    assert "an earlier table" not in page
    assert page.startswith(tables)
    assert page.endswith(f"{END}\nmore")


def test_unseen_wordings_of_the_page_stand_for_those_of_the_manifest(
    manifest: ModelManifest,
) -> None:
    worst = min(
        (
            each
            for each in manifest.provenance.metrics
            if each.metric == "pointing (aligned)"
            and each.label.partition(",")[0] in ("left lung", "right lung", "heart")
        ),
        key=lambda each: each.value,
    )
    concept = worst.label.removesuffix(", unseen wordings")
    assert concept != worst.label
    row = f"| {worst.data} | {concept} | 1.000 | 0.123 | 1.000 | cor | 0.100 | 8 |\n"
    named = f"({worst.label}, {worst.data}, "
    assert f"0.123 {named}8 images)" in with_table(f"{row}{BEGIN}\n{END}", manifest)
    assert f"{worst.value:.3f} {named}{worst.n} images)" in with_table(f"{BEGIN}\n{END}", manifest)


def test_every_other_requirement_has_a_figure_of_the_manifest(manifest: ModelManifest) -> None:
    rows = [
        line for line in with_table(f"{BEGIN}\n{END}", manifest).split("\n") if line[:2] == "| "
    ]
    missing = [row.split(" | ")[0] for row in rows if "not measured" in row]
    assert len(rows) == 17
    assert missing == [
        "| Dice of the lungs, source left out",
        "| Dice of the heart, source left out",
        "| AUROC of abnormal against none, unseen hospital",
        "| decisions that stay under harmless changes",
    ]


def test_a_page_without_the_marks_stays_as_it_is(manifest: ModelManifest) -> None:
    assert with_table("words", manifest) == "words"
