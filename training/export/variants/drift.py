"""Drift of a variant: figures of the validation split with its trunk beside those of float32.

    image --trunk of float32--> heads --> figures --+--> drift, same decisions, refusals
      '-----trunk of variant--> heads --> figures --'

Both sides have the run's own heads, thresholds and postprocessing.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from radiograph.manifest import Drift, HeadKind, HeadSpec, Task
from training.evaluation.evaluate import Evaluation
from training.evaluation.evaluators.estimates import Figure
from training.evaluation.predictions import Batch, Prediction, read_split
from training.evaluation.trained_model import TrainedModel
from training.export.variants.same_decisions import SameDecisions
from training.metrics import Counts, bootstrap
from training.metrics.arrays import FloatArray

COMPARED: Mapping[HeadKind, frozenset[str]] = {
    Task.CLASSIFY: frozenset({"auroc", "macro auroc"}),
    Task.SEGMENT: frozenset({"dice"}),
    Task.DETECT: frozenset({"ap50", "found at iou 0.3"}),
    Task.GROUND: frozenset({"auroc", "presence auroc", "pointing"}),
}
"""Metrics that are compared, by the kind of the head, without the method of a grounding."""
MIN_PATIENTS = 10
"""Smallest number of patients of a figure that refuses by itself. All of a few lose by chance, and
the bootstrap of a few that all lose has no resample in which they do not."""
LARGEST_LOSS = 0.005
"""Largest loss of a figure that a variant may have."""

RunTrunk = Callable[[FloatArray], Mapping[str, FloatArray]]
"""Images B x 1 x S x S -> outputs of a trunk by name."""


@dataclass(frozen=True, eq=False)
class Pair:
    """One figure with both trunks.

    Attributes:
        head: name of the head.
        float32, variant: the figure of the same images.
    """

    head: str
    float32: Figure
    variant: Figure

    @cached_property
    def drift(self) -> Drift:
        """The two values."""
        quantity, every = self.float32.quantity, np.ones(len(self.float32.patients), dtype=np.int64)
        return Drift(
            data=quantity.data,
            head=self.head,
            label=quantity.label,
            metric=quantity.metric,
            float32=round(self.float32.statistic(every), 4),
            value=round(self.variant.statistic(every), 4),
            n=len(every),
        )

    def surely_drops(self) -> bool:
        """Return whether the 95 % interval of the loss lies above 0, for enough patients.

        The same patients are drawn for both sides, so that only their difference counts.
        """

        def loss(counts: Counts) -> float:
            return self.float32.statistic(counts) - self.variant.statistic(counts)

        patients = self.float32.patients
        return len(set(patients)) >= MIN_PATIENTS and bootstrap(loss, patients).low > 0


@dataclass(frozen=True)
class Comparison:
    """A variant beside float32.

    Attributes:
        drift: every figure that is compared.
        same_decisions: share of the decisions that are those of float32, by head.
        refusals: losses that the gate does not accept; none if the variant may be published.
    """

    drift: tuple[Drift, ...]
    same_decisions: dict[str, float]
    refusals: tuple[str, ...]


def compare(
    model: TrainedModel,
    specs: Mapping[str, HeadSpec],
    trunks: tuple[RunTrunk, RunTrunk],
    limit: int | None = None,
    largest_loss: float = LARGEST_LOSS,
) -> Comparison:
    """Measure a variant on the validation split.

    Args:
        model: the run.
        specs: calibrated heads by name.
        trunks: the trunk of float32 and that of the variant.
        limit: largest number of rows of each data set, evenly spread; all by default.
        largest_loss: loss of a figure above which the variant is refused.
    """
    sides = Evaluation(model, specs, "valid"), Evaluation(model, specs, "valid")
    decisions = SameDecisions(model, specs)
    for batch in read_split(model, "valid", model.config.data.licences, limit):
        predicted = (_predictions(model, trunk, batch) for trunk in trunks)
        for ours, theirs in zip(*predicted, strict=True):
            for side, prediction in zip(sides, (ours, theirs), strict=True):
                side.add(prediction)
            decisions.add(ours, theirs)
    pairs = list(_pairs(specs, *sides))
    drift = tuple(pair.drift for pair in pairs)
    return Comparison(drift, decisions.shares, tuple(refusals(pairs, largest_loss)))


def _predictions(model: TrainedModel, trunk: RunTrunk, batch: Batch) -> Iterator[Prediction]:
    """Yield the predictions of a batch with another trunk than that of the run."""
    outputs = trunk(batch.images)
    features = {name: torch.from_numpy(value).to(model.device) for name, value in outputs.items()}
    return batch.predictions(*model.answers(features))


def _pairs(
    specs: Mapping[str, HeadSpec], float32: Evaluation, variant: Evaluation
) -> Iterator[Pair]:
    """Yield the figures that are compared: defined ones of labels that are answered."""
    withheld = {
        (name, label.name)
        for name, head in specs.items()
        for label in head.labels
        if label.withheld
    }
    theirs = {(head, figure.quantity): figure for head, figure in variant.figures()}
    for head, ours in float32.figures():
        compared = COMPARED.get(ours.quantity.task, frozenset())
        metric = ours.quantity.metric.partition(" (")[0]
        if metric in compared and (head, ours.quantity.label) not in withheld:
            # these figures are of all images whose truth is known, whatever a trunk answers
            pair = Pair(head, ours, theirs[head, ours.quantity])
            if np.isfinite(pair.drift.float32) and np.isfinite(pair.drift.value):
                yield pair


def refusals(pairs: Sequence[Pair], largest_loss: float = LARGEST_LOSS) -> Iterator[str]:
    """Describe what is lost: single figures, unless it may be chance, and means of a metric."""
    for pair in pairs:
        drift = pair.drift
        if drift.float32 - drift.value > largest_loss and pair.surely_drops():
            yield (
                f"{drift.data} {drift.label} {drift.metric}: {drift.value} instead of "
                f"{drift.float32} ({pair.head})"
            )
    for (head, metric), drifts in by_metric([pair.drift for pair in pairs]).items():
        loss = mean_loss(drifts)
        if loss > largest_loss:
            yield f"{metric}: {loss:.4f} less in the mean ({head})"


def by_metric(drifts: Iterable[Drift]) -> dict[tuple[str | None, str], list[Drift]]:
    """Return the figures of each metric of each head, over data sets and labels."""
    grouped: dict[tuple[str | None, str], list[Drift]] = defaultdict(list)
    for drift in drifts:
        grouped[drift.head, drift.metric].append(drift)
    return dict(grouped)


def mean_loss(drifts: Sequence[Drift]) -> float:
    """Return the mean loss of some figures, weighted by their numbers of images."""
    weights = [drift.n for drift in drifts]
    return float(np.average([drift.float32 - drift.value for drift in drifts], weights=weights))
