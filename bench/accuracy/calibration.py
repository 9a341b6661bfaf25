"""Calibration of the findings of a published version, and what other calibrations would give.

    python -m bench.accuracy.calibration --data ../shared/data --split valid

    logits of the split --calibrations, fitted on others--> calibration error of each set

A calibration maps the logit of a finding to a probability and never changes the ranking: one
temperature for all findings, a scale for each, a scale and an offset for each, or the last with
every set weighing the same. Each is fitted on other patients (five folds) and on the other sets.
The error that is left to chance is that of labels drawn with the probabilities of the version.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from bench.accuracy.published_version import Version, parser, rows
from radiograph.errors import InputError
from radiograph.manifest import Task
from radiograph.postprocess.activations import sigmoid
from training.metrics import calibration_error, fit_temperature
from training.metrics.arrays import BoolArray, Float64Array

FOLDS = 5
DRAWS = 200
LEAST = 20
"""Smallest number of radiographs of a set by which a finding is measured."""
Coefficients = tuple[Float64Array, Float64Array]
"""Scale and offset of each finding, K each: the probability is sigmoid(scale * logit + offset)."""


@dataclass(frozen=True, eq=False)
class Scored:
    """Logits of N radiographs for the K findings that are answered, and what is known of them.

    Attributes:
        names: K findings.
        logits: N x K.
        known: N x K, True where the truth is known.
        positive: N x K, the truth.
        sets: N, the data set of each radiograph.
        folds: N, the fold of the patient of each radiograph.
    """

    names: tuple[str, ...]
    logits: Float64Array
    known: BoolArray
    positive: BoolArray
    sets: NDArray[np.str_]
    folds: NDArray[np.int64]

    def measured(self) -> Iterator[tuple[str, int, BoolArray]]:
        """Yield set, number of the finding and rows of each error that can be measured."""
        for data in np.unique(self.sets):
            for k in range(len(self.names)):
                chosen = self.known[:, k] & (self.sets == data)
                if chosen.sum() >= LEAST:
                    yield str(data), k, chosen


Fit = Callable[[Scored, BoolArray], Coefficients]
"""Radiographs and those of them to fit on -> coefficients."""


def main() -> None:
    """Measure and print Markdown tables."""
    options = parser(__doc__ or "").parse_args()
    version = Version(options.models_dir, options.model, options.version)
    name = version.head(Task.CLASSIFY)
    found: list[_Row] = []
    for data in options.sets:
        for row, reader in rows(options, data, options.split):
            try:
                tensor, _ = version.read(reader.read(row.image))
            except InputError:
                continue
            raw = version.backend.infer(tensor[None], [name]).heads[name]
            found.append(_Row(data, row.patient_id, row.findings, raw["logits"][0]))
    version.backend.close()
    spec = version.manifest.heads[name]
    answered = {label.name: k for k, label in enumerate(spec.labels) if not label.withheld}
    scored = _scored(found, answered)
    served = np.full(len(answered), 1 / spec.temperature), np.zeros(len(answered))
    print("| set | finding | error | left to chance | positive | mean probability | n |")
    print("|---|---|---|---|---|---|---|")
    for line in lines(scored, probabilities(scored, served)):
        print(line)
    print("\n| calibration | fitted on | mean error | largest error |\n|---|---|---|---|")
    for method, fit in CALIBRATIONS.items():
        groups = {"other patients": scored.folds, "other sets": scored.sets}
        for words, group in groups.items():
            each = errors(scored, cross_fitted(fit, scored, group))
            print(f"| {method} | {words} | {np.mean(each):.3f} | {max(each):.3f} |", flush=True)


@dataclass(frozen=True, eq=False)
class _Row:
    """One radiograph: its set and patient, what is known of its findings, and its logits."""

    data: str
    patient: str
    findings: dict[str, bool]
    logits: NDArray[np.float32]


def _scored(found: list[_Row], answered: dict[str, int]) -> Scored:
    """Join the radiographs; patients are dealt out to the folds at random, but always alike."""
    patients = sorted({row.patient for row in found})
    dealt = np.random.default_rng(0).integers(0, FOLDS, len(patients))
    fold = dict(zip(patients, dealt, strict=True))
    return Scored(
        names=tuple(answered),
        logits=np.array([row.logits for row in found], dtype=np.float64)[:, [*answered.values()]],
        known=np.array([[name in row.findings for name in answered] for row in found]),
        positive=np.array([[row.findings.get(n, False) for n in answered] for row in found]),
        sets=np.array([row.data for row in found], dtype=np.str_),
        folds=np.array([fold[row.patient] for row in found], dtype=np.int64),
    )


def probabilities(scored: Scored, coefficients: Coefficients) -> Float64Array:
    """Return the probabilities N x K."""
    scale, offset = coefficients
    return sigmoid(scored.logits * scale + offset)


def cross_fitted(fit: Fit, scored: Scored, groups: NDArray[np.generic]) -> Float64Array:
    """Return the probabilities N x K, those of each group by a fit on all other groups.

    Args:
        fit: the calibration.
        scored: the radiographs.
        groups: N, the group of each radiograph.
    """
    found = np.empty_like(scored.logits)
    for group in np.unique(groups):
        inside = groups == group
        found[inside] = probabilities(scored, fit(scored, ~inside))[inside]
    return found


def errors(scored: Scored, found: Float64Array) -> list[float]:
    """Return the calibration error of each finding on each set.

    Args:
        scored: the radiographs.
        found: probabilities, N x K.
    """
    return [
        _error(found[chosen, k], scored.positive[chosen, k]) for _, k, chosen in scored.measured()
    ]


def lines(scored: Scored, found: Float64Array) -> Iterator[str]:
    """Yield a row of the table for each finding on each set."""
    rng = np.random.default_rng(0)
    for data, k, chosen in scored.measured():
        probability, positive = found[chosen, k], scored.positive[chosen, k]
        drawn = [rng.random(len(probability)) < probability for _ in range(DRAWS)]
        chance = np.mean([_error(probability, labels) for labels in drawn])
        yield (
            f"| {data} | {scored.names[k]} | {_error(probability, positive):.3f} | {chance:.3f} "
            f"| {positive.mean():.2f} | {probability.mean():.2f} | {len(positive)} |"
        )


def _error(probability: Float64Array, positive: BoolArray) -> float:
    return calibration_error(probability, positive, np.ones(len(positive), dtype=np.int64))


def _temperature(scored: Scored, rows: BoolArray) -> Coefficients:
    """Fit one temperature for all findings, as `g2d evaluate` does."""
    known = scored.known & rows[:, None]
    temperature = fit_temperature(scored.logits[known], scored.positive[known])
    return np.full(len(scored.names), 1 / temperature), np.zeros(len(scored.names))


def _each(scored: Scored, rows: BoolArray, *, offset: bool, balanced: bool) -> Coefficients:
    """Fit a scale, and an offset where asked for, for each finding that is present and absent."""
    scales, offsets = _temperature(scored, rows)
    for k in range(len(scored.names)):
        known = scored.known[:, k] & rows
        positive = scored.positive[known, k]
        if positive.all() or not positive.any():
            continue
        signed = np.where(positive, 1.0, -1.0)
        logits, weight = scored.logits[known, k], np.ones(len(positive))
        if balanced:
            _, number, count = np.unique(
                scored.sets[known], return_inverse=True, return_counts=True
            )
            weight = len(positive) / len(count) / count[number]

        def loss(x: Float64Array) -> float:
            added = x[1] if offset else 0.0
            return float(weight @ np.logaddexp(0, -signed * (np.exp(x[0]) * logits + added)))  # noqa: B023

        best = minimize(loss, [np.log(scales[k]), 0.0], method="Nelder-Mead").x
        scales[k], offsets[k] = np.exp(best[0]), best[1] if offset else 0.0
    return scales, offsets


CALIBRATIONS: dict[str, Fit] = {
    "one temperature": _temperature,
    "a scale for each finding": lambda s, rows: _each(s, rows, offset=False, balanced=False),
    "scale and offset": lambda s, rows: _each(s, rows, offset=True, balanced=False),
    "scale and offset, sets alike": lambda s, rows: _each(s, rows, offset=True, balanced=True),
}
"""Name of each calibration -> its fit."""


if __name__ == "__main__":
    main()
