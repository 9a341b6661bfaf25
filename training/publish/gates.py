"""Gates: what keeps a run from becoming a version, told from its figures and its exported files.

Figures of one head are held against those of the same head, data set and label in `stable`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from radiograph.errors import PublishRefused
from radiograph.manifest import HeadSpec, Metric
from training.export.parity import answers, difference
from training.metrics.mgca_protocol import SUFFIX

GOLDEN_TOLERANCE = 2e-3
NEVER_GATES = frozenset(
    {
        "sensitivity",
        "specificity",
        "f1",
        "accuracy",
        "ece",
        "ece, equal mass",
        "dice, where present",
    }
)
"""Metrics that may move: those at a threshold move with the rule that chose it, of a calibration
error lower is better, and one that is of fewer images than another repeats it."""


def gates(metric: str) -> bool:
    """Whether a metric below the interval in `stable` refuses a publication; higher is better.

    Those of the published protocol never do: their faults move them too.
    """
    return metric not in NEVER_GATES and not metric.endswith(SUFFIX)


def with_heads(metrics: Iterable[Metric], heads: Mapping[str, HeadSpec]) -> tuple[Metric, ...]:
    """Each figure with its head: of one that names none, the first that fits."""
    return tuple(
        m if m.head else m.model_copy(update={"head": _head_of(m, heads)}) for m in metrics
    )


def _head_of(metric: Metric, heads: Mapping[str, HeadSpec]) -> str | None:
    fitting = {
        name: {label.name for label in head.labels}
        for name, head in heads.items()
        if head.kind is metric.task and (head.method is None or f"({head.method})" in metric.metric)
    }
    named = [name for name, labels in fitting.items() if metric.label in labels]
    return next(iter([*named, *fitting]), None)  # a figure of several labels names none of them


def refuse_worse(
    new: tuple[Metric, ...], old: tuple[Metric, ...], accept: Sequence[str] = ()
) -> tuple[str, ...]:
    """Refuse a metric that `gates` and lies below the 95 % interval of the version in `stable`.

    Figures of one head are held against each other, so that two heads of a kind stay apart.

    Returns:
        Those that are worse and accepted, in words.

    Raises:
        PublishRefused: naming each that is not accepted.
    """
    lows = {(m.head, *about(m)): m.low for m in old}
    worse = [
        (m, low)
        for m in new
        if gates(m.metric) and m.value < (low := lows.get((m.head, *about(m)), -math.inf))
    ]
    said = {
        f"{' '.join(about(m))}: {m.value} is below {low} ({m.head})": m.metric for m, low in worse
    }
    if refused := [words for words, metric in said.items() if metric not in accept]:
        raise PublishRefused("worse than the version in stable: " + "; ".join(refused))
    return tuple(said)


def about(metric: Metric) -> tuple[str, str, str]:
    """What a figure of a head is of: data set, label, metric."""
    return metric.data, metric.label, metric.metric


def refuse_other_golden(folder: Path) -> None:
    """Replay the golden inputs through ONNX.

    Raises:
        PublishRefused: an output differs from the recorded one.
    """
    with np.load(folder / "golden.npz", allow_pickle=False) as golden:
        recorded = dict(golden)
    for output, value in answers(folder, recorded).items():
        if not difference(output, recorded[output], value) <= GOLDEN_TOLERANCE:
            raise PublishRefused(f"golden output {output} differs")
