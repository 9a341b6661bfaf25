"""Gates: checks that a run must pass to be published.

    weights of run, evaluation and export agree -> metrics not below `stable` -> golden replay

Metrics of a head are compared with those of the same head, data set and label in `stable`.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiograph.errors import PublishRefused
from radiograph.manifest import HeadSpec, Metric, Precision, VariantSpec
from training.evaluation.assessment import Assessment, RunFolder, digest_of, heads_without_figure
from training.evaluation.trained_model import TrainedModel
from training.export.onnx_export import ExportedRun
from training.export.parity import difference, onnx_outputs
from training.metrics.mgca_protocol import SUFFIX

GOLDEN_TOLERANCE = 2e-3
"""Largest difference of a golden output, here and when the service loads the version."""
NEVER_GATES = frozenset(
    {
        "sensitivity",
        "specificity",
        "f1",
        "accuracy",
        "ece",
        "ece, equal mass",
        "dice, where present",
        "absolute error",
        "bias",
        "found",
        "not found",
        "false alarms",
        "false boxes",
        "pointing, where found",
        "box recall at iou 0.3",
        "presence ece",
    }
)
"""Metrics that never refuse a publication.

Those at a threshold change with the rule that chose it, a calibration error and the error of a
measurement are better if they are lower, and a Dice of fewer images repeats the Dice of all.
"""


def gates(metric: str) -> bool:
    """Return whether a metric below the interval in `stable` refuses a publication.

    Metrics of the published protocol never do, because its faults change them too.
    """
    plain = metric.partition(" (")[0]  # without the method of grounding
    return plain not in NEVER_GATES and not metric.endswith(SUFFIX)


def with_heads(metrics: Iterable[Metric], heads: Mapping[str, HeadSpec]) -> tuple[Metric, ...]:
    """Return the metrics with their heads; one that names no head gets the first that fits."""
    return tuple(
        m if m.head else m.model_copy(update={"head": _head_of(m, heads)}) for m in metrics
    )


def _head_of(metric: Metric, heads: Mapping[str, HeadSpec]) -> str | None:
    """Return the first head of the kind of a metric, preferably one with its label."""
    fitting = {
        name: {label.name for label in head.labels}
        for name, head in heads.items()
        if head.kind == metric.task and (head.method is None or f"({head.method})" in metric.metric)
    }
    named = [name for name, labels in fitting.items() if metric.label in labels]
    return next(iter([*named, *fitting]), None)  # a metric over all labels fits by its kind alone


def refuse_worse(
    new: tuple[Metric, ...], old: tuple[Metric, ...], accept: Sequence[str] = ()
) -> tuple[str, ...]:
    """Compare the metrics of a run with the 95 % intervals of the version in `stable`.

    Metrics are compared within one head, so that two heads of a kind stay apart.

    Args:
        new: metrics of the run, with their heads.
        old: metrics of the version in `stable`, with their heads.
        accept: names of metrics that may be worse.

    Returns:
        A description of each metric that is worse and accepted.

    Raises:
        PublishRefused: a metric is worse and not accepted; the message names each.
    """
    lows = {(m.head, *about(m)): m.low for m in old}
    worse = [
        (m, low)
        for m in new
        if gates(m.metric) and m.value < (low := lows.get((m.head, *about(m)), -math.inf))
    ]
    descriptions = {
        f"{' '.join(about(m))}: {m.value} is below {low} ({m.head})": m.metric for m, low in worse
    }
    if refused := [words for words, metric in descriptions.items() if metric not in accept]:
        raise PublishRefused("worse than the version in stable: " + "; ".join(refused))
    return tuple(descriptions)


def about(metric: Metric) -> tuple[str, str, str]:
    """Return data set, label and name of a metric, which identify it within a head."""
    return metric.data, metric.label, metric.metric


def refuse_without_figures(heads: Iterable[str], metrics: Sequence[Metric]) -> None:
    """Check that every head was measured.

    Args:
        heads: names of the heads.
        metrics: metrics with their heads.

    Raises:
        PublishRefused: a head has no figure; the message names it.
    """
    if without := heads_without_figure(heads, metrics):
        raise PublishRefused(f"no figure was measured for the heads: {', '.join(without)}")


def refuse_other_golden(exported: ExportedRun) -> None:
    """Run the golden inputs of an export and of its variants through ONNX Runtime.

    Raises:
        PublishRefused: a file of the export is damaged, or an output differs from the recorded one.
    """
    with _damage_refused(exported.folder, "export"):
        recorded = _arrays(exported.folder / "golden.npz")
        outputs = onnx_outputs(exported.folder, recorded)
    for output, value in outputs.items():
        if not difference(output, recorded[output], value) <= GOLDEN_TOLERANCE:
            raise PublishRefused(f"golden output {output} differs")
    for precision, variant in exported.variants.items():
        _refuse_other_variant(exported.folder, precision, variant)


def _refuse_other_variant(folder: Path, precision: Precision, variant: VariantSpec) -> None:
    """Run the golden inputs of a variant; its maps were not recorded, as the manifest says."""
    with _damage_refused(folder, "export"):
        recorded = _arrays(folder / variant.golden.file)
        outputs = onnx_outputs(folder, recorded, variant.trunk)
    for output, value in outputs.items():
        if output.startswith("trunk.") and value.ndim > 2:
            continue
        if not np.abs(recorded[output] - value).max() <= variant.golden.tolerance:
            raise PublishRefused(f"golden output {output} of {precision} differs")


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        return dict(file)


def refuse_damaged_statistics(run: RunFolder) -> None:
    """Read the statistics of the features of a run.

    Raises:
        PublishRefused: they are missing or damaged.
    """
    with _damage_refused(run.statistics, "evaluate"):
        _arrays(run.statistics)


@contextmanager
def _damage_refused(path: Path, command: str) -> Iterator[None]:
    """Name a file or folder of a run when it cannot be read, and the command that writes it."""
    try:
        yield
    except Exception as error:  # those of ONNX Runtime and of archives have no base of their own
        raise PublishRefused(
            f"{path} cannot be read ({type(error).__name__}): g2d {command} {path.parent}"
        ) from error


def refuse_stale(
    model: TrainedModel, run: RunFolder, assessment: Assessment, exported: ExportedRun
) -> None:
    """Check that evaluation and export are of the weights that the run has now.

    Raises:
        PublishRefused: one of them is of other weights; the message names the command to repeat.
    """
    digests = {"evaluate": assessment.weights, "export": exported.weights}
    for command, weights in digests.items():
        if weights != model.digest:
            raise PublishRefused(
                f"{run.path} has other weights now than those of its last `g2d {command}`: "
                f"g2d {command} {run.path}"
            )
    if exported.variants and exported.heads != digest_of(assessment.heads):
        raise PublishRefused(
            f"{run.path} was evaluated again since its variants were measured: "
            f"g2d export {run.path} with --{' --'.join(exported.variants)}"
        )
