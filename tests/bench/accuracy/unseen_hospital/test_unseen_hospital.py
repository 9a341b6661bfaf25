"""Figures of an unseen hospital: decisions as they are served, rows of training apart."""

from pathlib import Path

import numpy as np
import pytest

from bench.accuracy.unseen_hospital.__main__ import Measured, lines, trained_splits
from bench.accuracy.unseen_hospital.answers import Truth
from radiograph.manifest import HeadSpec, Label, ModelManifest, Task
from radiograph.postprocess.heads import positive
from radiograph.repository.repository import Repository
from training.data.rows.reader import Row

SPEC = HeadSpec(
    kind=Task.CLASSIFY,
    file="h.onnx",
    inputs=("x",),
    labels=(
        Label(name="No finding", threshold=0.5),
        Label(name="Mass", threshold=1.0),
        Label(name="Viral pneumonia"),
    ),
)
MODELS = Repository(Path(__file__).parents[4] / "models")


def measured(number: int, normal: bool | None, probability: float) -> Measured:
    """A radiograph; every second one is of the training rows."""
    split = "train" if number % 2 else "test"
    row = Row("s", f"{number}.png", str(number), split, "", (), "", "", "", "CC0", "open")
    findings = {} if normal is None else {"Mass": not normal}
    probabilities = np.array([probability, 0.5, 0.5])
    decisions = positive(SPEC, probabilities)
    return Measured(row, Truth(normal, findings), probabilities, decisions, frozenset())


def table(*normal: bool | None) -> list[str]:
    scores = np.linspace(0.9, 0.1, len(normal))
    found = [measured(n, truth, scores[n]) for n, truth in enumerate(normal)]
    return list(lines(found, SPEC, frozenset({"train"})))


def test_sensitivity_and_specificity_are_those_of_the_answers() -> None:
    first, second = table(True, True, False, True, False, False, None)
    cells = [cell.strip() for cell in first.strip("|").split("|")]
    assert cells[:3] == ["vqa_rad_chest", "No finding", "0.889"]
    assert cells[4:] == ["1.000", "0.667", "3 of 6"]
    assert second.startswith("| vqa_rad_chest | Mass | 0.500 | ")
    assert "| withheld | withheld | 3 of 6 |" in second


def test_rows_of_training_are_left_out_of_the_second_part_and_few_rows_are_no_figure() -> None:
    rows = table(*[True] * 6, *[False] * 6)
    assert [row.split(" | ")[1] for row in rows] == [
        "No finding", "Mass", "No finding, in no stage", "Mass, in no stage",
    ]  # fmt: skip
    assert rows[0].endswith("6 of 12 |")
    assert rows[2].endswith("3 of 6 |")
    assert len(table(*[True] * 5, *[False] * 5)) == 2


@pytest.fixture(scope="module")
def manifest() -> ModelManifest:
    return MODELS.load_manifest("g2d-cxr", MODELS.resolve("g2d-cxr", "stable"))


def test_the_stages_of_a_version_tell_whether_it_trained_on_the_set(
    manifest: ModelManifest,
) -> None:
    def of(*tables: str) -> frozenset[str]:
        texts = {"1.yaml": "seed: 0", "2.yaml": f"data: {{tables: [{', '.join(tables)}]}}"}
        origin = manifest.provenance.model_copy(update={"configuration": texts})
        return trained_splits(manifest.model_copy(update={"provenance": origin}))

    assert of("nih_boxes") == frozenset()
    assert of("nih_boxes", "vqa_rad_chest") == {"train"}
