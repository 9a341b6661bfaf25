"""Evaluation of a run in source pixels, through the postprocessing of the service.

predictions of a split, one by one + calibrated heads -> metrics per data set with 95 % intervals

The evaluator of a head's kind defines its metrics; the published way of measuring is added under
`protocol: mgca`.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from radiograph.manifest import HeadSpec, Metric, Task
from training.data.text.grounding_phrases import DEVELOPMENT, HELD_OUT
from training.evaluation.evaluators.classification import ClassificationEvaluator
from training.evaluation.evaluators.detection import DetectionEvaluator
from training.evaluation.evaluators.estimates import Evaluator
from training.evaluation.evaluators.grounding import GroundingEvaluator
from training.evaluation.evaluators.segmentation import SegmentationEvaluator
from training.evaluation.phrase_questions import Questionnaire
from training.evaluation.predictions import EvaluatedHead, Prediction
from training.evaluation.trained_model import TrainedModel


def evaluate(
    model: TrainedModel,
    specs: Mapping[str, HeadSpec],
    predictions: Iterable[Prediction],
    split: str = "test",
) -> tuple[Metric, ...]:
    """Return every metric that is defined, of every head and data set.

    Args:
        model: the run.
        specs: calibrated heads by name.
        predictions: radiographs of one split; they are read once, and none is kept.
        split: name of the split. The wordings in `HELD_OUT` are used for `test` alone; other
            splits, by which choices are made, use those in `DEVELOPMENT`.
    """
    wordings = HELD_OUT if split == "test" else DEVELOPMENT
    questions = Questionnaire(split)
    evaluators: dict[str, dict[str, Evaluator]] = {}
    for prediction in predictions:
        data = prediction.row.table
        if data not in evaluators:
            evaluators[data] = {
                name: _evaluator(EvaluatedHead(model, name, spec), data, wordings, questions)
                for name, spec in specs.items()
            }
        for evaluator in evaluators[data].values():
            evaluator.add(prediction)
    return tuple(
        metric.model_copy(update={"split": split, "head": head})
        for of_data in evaluators.values()
        for head, evaluator in of_data.items()
        for metric in evaluator.metrics()
        if np.isfinite(metric.value)
    )


def _evaluator(
    head: EvaluatedHead,
    data: str,
    wordings: Mapping[str, Sequence[str]],
    questions: Questionnaire,
) -> Evaluator:
    """Return the evaluator for the kind of a head."""
    match head.spec.kind:
        case Task.CLASSIFY:
            return ClassificationEvaluator(head, data)
        case Task.SEGMENT:
            return SegmentationEvaluator(head, data)
        case Task.DETECT:
            return DetectionEvaluator(head, data)
        case Task.GROUND:
            return GroundingEvaluator(head, data, wordings, questions)
