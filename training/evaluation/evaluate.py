"""Evaluation of a run in source pixels, through the postprocessing of the service.

predictions of a split, one by one + calibrated heads -> metrics per data set with 95 % intervals

The evaluator of a head's kind defines its metrics; the published way of measuring is added under
`protocol: mgca`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from radiograph.manifest import HeadSpec, Metric, Task
from training.data.text.phrases.unseen_wordings import DEVELOPMENT, HELD_OUT
from training.evaluation.evaluators.classification import ClassificationEvaluator
from training.evaluation.evaluators.detection import DetectionEvaluator
from training.evaluation.evaluators.estimates import Evaluator, Figure
from training.evaluation.evaluators.false_alarms import FalseAlarmEvaluator
from training.evaluation.evaluators.grounding import GroundingEvaluator
from training.evaluation.evaluators.segmentation import SegmentationEvaluator
from training.evaluation.phrases.questions import Questionnaire
from training.evaluation.predictions import EvaluatedHead, Prediction
from training.evaluation.trained_model import TrainedModel


class Evaluation:
    """Figures of every head on every data set of one split.

    The wordings in `HELD_OUT` are used for `test` alone; other splits, by which choices are made,
    use those in `DEVELOPMENT`.
    """

    def __init__(
        self, model: TrainedModel, specs: Mapping[str, HeadSpec], split: str = "test"
    ) -> None:
        """Args: model: the run; specs: calibrated heads by name; split: name of the split."""
        self._model, self._specs = model, specs
        self._wordings = HELD_OUT if split == "test" else DEVELOPMENT
        self._questions = Questionnaire(split)
        self._evaluators: dict[str, dict[str, Evaluator]] = {}

    def add(self, prediction: Prediction) -> None:
        """Keep the figures of one radiograph."""
        data = prediction.row.table
        if data not in self._evaluators:
            self._evaluators[data] = {
                name: _evaluator(
                    EvaluatedHead(self._model, name, spec), data, self._wordings, self._questions
                )
                for name, spec in self._specs.items()
            }
        for evaluator in self._evaluators[data].values():
            evaluator.add(prediction)

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """Yield every figure, with the name of its head."""
        for of_data in self._evaluators.values():
            for head, evaluator in of_data.items():
                for figure in evaluator.figures():
                    yield head, figure


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
        split: name of the split, see `Evaluation`.
    """
    evaluation = Evaluation(model, specs, split)
    for prediction in predictions:
        evaluation.add(prediction)
    metrics = ((head, figure.metric()) for head, figure in evaluation.figures())
    return tuple(
        metric.model_copy(update={"split": split, "head": head})
        for head, metric in metrics
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
        case "check":
            return FalseAlarmEvaluator(head, data)
