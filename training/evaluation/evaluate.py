"""Measure a run in source pixels, through the postprocessing that the service uses.

images of a split, one by one + calibrated heads -> metrics per data set with 95 % intervals

`training.evaluation.evaluators` gives auroc, sensitivity, specificity, f1, accuracy, ece and
macro auroc of findings; dice and iou of masks;
ap50 and map of boxes; pointing, cnr, iou, dice and recall of
phrases. Under `protocol: mgca` the published way of measuring stands beside ours.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from radiograph.manifest import HeadSpec, Metric, Task
from training.data.text.grounding_phrases import DEVELOPMENT, HELD_OUT
from training.evaluation.evaluators.classification import FindingsMeasure
from training.evaluation.evaluators.detection import BoxesMeasure
from training.evaluation.evaluators.estimates import Measure
from training.evaluation.evaluators.grounding import GroundingMeasure
from training.evaluation.evaluators.segmentation import MasksMeasure
from training.evaluation.predictions import Prediction
from training.evaluation.trained_model import TrainedModel


def evaluate(
    model: TrainedModel,
    specs: Mapping[str, HeadSpec],
    seen: Iterable[Prediction],
    split: str = "test",
) -> tuple[Metric, ...]:
    """Every metric of every head that is defined, per data set.

    Args:
        model: the run.
        specs: its calibrated heads.
        seen: the radiographs of one split; each is asked for once, and none is kept.
        split: which. Only `test` sees the wordings in `HELD_OUT`; another one is there to
            choose by, and sees those in `DEVELOPMENT`.
    """
    wordings = HELD_OUT if split == "test" else DEVELOPMENT
    of_data: dict[str, dict[str, Measure]] = {}
    for one in seen:
        name = one.row.table
        if name not in of_data:
            of_data[name] = dict(_measures(model, specs, name, wordings))
        for measure in of_data[name].values():
            measure.add(one)
    return tuple(
        metric.model_copy(update={"split": split, "head": head})
        for each in of_data.values()
        for head, measure in each.items()
        for metric in measure.metrics()
        if np.isfinite(metric.value)
    )


def _measures(
    model: TrainedModel,
    specs: Mapping[str, HeadSpec],
    data: str,
    wordings: Mapping[str, Sequence[str]],
) -> Iterator[tuple[str, Measure]]:
    """Yield the name of each head with its evaluator, which its kind determines."""
    for name, spec in specs.items():
        match spec.kind:
            case Task.CLASSIFY:
                yield name, FindingsMeasure(model, (name, spec), data)
            case Task.SEGMENT:
                yield name, MasksMeasure(model, (name, spec), data)
            case Task.DETECT:
                yield name, BoxesMeasure(model, (name, spec), data)
            case Task.GROUND:
                yield name, GroundingMeasure(model, (name, spec), data, wordings)
