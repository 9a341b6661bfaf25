"""Measure a run in source pixels, through the same `radiograph.heads` that the service uses.

images of a split, one by one + calibrated heads -> metrics per data set with 95 % intervals

Per head (`training.measures`): auroc, sensitivity, specificity, f1, accuracy, ece and macro auroc
of findings; dice and iou of masks; ap50 and map of boxes; pointing, cnr, iou, dice and recall of
phrases. Under `protocol: mgca` the published way of measuring stands beside ours.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from radiograph.manifest import HeadSpec, Metric
from training.calibrate import GROUND_HEADS
from training.data.phrases import DEVELOPMENT, HELD_OUT
from training.inference import TrainedModel
from training.measures.boxes import BoxesMeasure
from training.measures.figure import Measure
from training.measures.findings import FindingsMeasure
from training.measures.grounding import GroundingMeasure
from training.measures.masks import MasksMeasure
from training.seen import Seen


def evaluate(
    model: TrainedModel, specs: Mapping[str, HeadSpec], seen: Iterable[Seen], split: str = "test"
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
    of_data: dict[str, list[Measure]] = {}
    for one in seen:
        name = one.row.table
        if name not in of_data:
            of_data[name] = list(_measures(model, specs, name, wordings))
        for measure in of_data[name]:
            measure.add(one)
    metrics = [m for each in of_data.values() for measure in each for m in measure.metrics()]
    return tuple(m.model_copy(update={"split": split}) for m in metrics if np.isfinite(m.value))


def _measures(
    model: TrainedModel,
    specs: Mapping[str, HeadSpec],
    data: str,
    wordings: Mapping[str, Sequence[str]],
) -> Iterator[Measure]:
    if "findings" in specs:
        yield FindingsMeasure(model, specs["findings"], data)
    if "anatomy" in specs:
        yield MasksMeasure(model, specs["anatomy"], data)
    if "boxes" in specs:
        yield BoxesMeasure(model, specs["boxes"], data)
    for head in GROUND_HEADS:
        if head in specs:
            yield GroundingMeasure(model, (head, specs[head]), data, wordings)
