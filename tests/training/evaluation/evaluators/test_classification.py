"""Metrics of a classification head: of each label as it is served, and of all together."""

from dataclasses import replace

import numpy as np
import pytest

from radiograph.manifest import HeadSpec, Label, Task
from training.evaluation.evaluators.classification import ClassificationEvaluator, of_all_labels
from training.evaluation.predictions import EvaluatedHead, Prediction
from training.evaluation.trained_model import TrainedModel
from training.metrics.arrays import once


def test_exclusive_findings_are_measured_by_their_highest_score() -> None:
    scores = np.array([[0.7, 0.2, 0.1], [0.3, 0.4, 0.3], [0.2, 0.2, 0.6], [0.9, 0.05, 0.05]])
    positive = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]], dtype=bool)
    known = np.ones_like(positive)
    together = of_all_labels(scores, known, positive, exclusive=True)
    assert together["argmax accuracy"](once(4)) == pytest.approx(2 / 3)  # the last has no class
    assert set(of_all_labels(scores, known, positive, exclusive=False)) == {"macro auroc"}
    assert of_all_labels(scores[:, :1], known[:, :1], positive[:, :1], exclusive=False) == {}


WHOLE = Label(name="Pneumonia", threshold=0.6)
SUBTYPE = Label(name="Bacterial pneumonia", threshold=0.3, subtype_of="Pneumonia")
PROBABILITIES = np.array([[0.9, 0.9], [0.5, 0.9], [0.9, 0.1], [0.5, 0.9], [0.5, 0.1], [0.9, 0.9]])
"""Pneumonia and its subtype, in six radiographs of which the first three show the subtype."""


def figures_of(
    run: TrainedModel, predictions: list[Prediction], *labels: Label
) -> dict[tuple[str, str], float]:
    spec = HeadSpec(kind=Task.CLASSIFY, file="h.onnx", inputs=("x",), labels=labels)
    evaluator = ClassificationEvaluator(EvaluatedHead(run, "findings", spec), "set")
    for number, (one, values) in enumerate(zip(predictions, PROBABILITIES, strict=False)):
        row = replace(
            one.row,
            patient_id=str(number),
            findings={"Pneumonia": number < 4, "Bacterial pneumonia": number < 3},
        )
        logits = np.log(values / (1 - values)).astype(np.float32)
        evaluator.add(replace(one, row=row, outputs={"findings": {"logits": logits}}))
    return {
        (figure.quantity.label, figure.quantity.metric): figure.statistic(once(6))
        for figure in evaluator.figures()
    }


def test_a_subtype_is_measured_as_it_is_served(
    evaluated_run: TrainedModel, predictions: list[Prediction]
) -> None:
    """It reaches its threshold in radiographs 0, 1, 3 and 5, and with pneumonia in 0 and 5."""
    free = SUBTYPE.model_copy(update={"subtype_of": None})
    served = figures_of(evaluated_run, predictions, WHOLE, SUBTYPE)
    alone = figures_of(evaluated_run, predictions, WHOLE, free)
    assert served["Bacterial pneumonia", "sensitivity"] == pytest.approx(1 / 3)
    assert served["Bacterial pneumonia", "specificity"] == pytest.approx(2 / 3)
    assert alone["Bacterial pneumonia", "sensitivity"] == pytest.approx(2 / 3)
    assert alone["Bacterial pneumonia", "specificity"] == pytest.approx(1 / 3)
    at_a_threshold = {"sensitivity", "specificity", "f1", "accuracy"}
    assert {name for name in served if served[name] != alone[name]} <= {
        ("Bacterial pneumonia", metric) for metric in at_a_threshold
    }


def test_a_withheld_finding_rules_out_no_subtype_in_the_figures_either(
    evaluated_run: TrainedModel, predictions: list[Prediction]
) -> None:
    """It is measured at 0.5, but the service does not answer it."""
    withheld = WHOLE.model_copy(update={"threshold": 1.0})
    found = figures_of(evaluated_run, predictions, withheld, SUBTYPE)
    assert found["Bacterial pneumonia", "sensitivity"] == pytest.approx(2 / 3)
    assert found["Pneumonia", "sensitivity"] == 1
