"""What the uncertainty of an answer (`uncertainty=tta`) tells of its errors.

    python -m bench.accuracy.uncertainty --data ../shared/data --version stable

Every figure is an AUROC: how well a number of the answer ranks the wrong decisions on findings
above the right ones (masks: those whose Dice is in the lowest tenth above the others). 0.5 tells
nothing.

- disagreement   1 - `agreement` of the views
- range          `high` - `low`
- closeness      of the probability to its threshold, which needs no views
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from bench.accuracy.published_version import parser, rows
from g2d.loading import open_version
from radiograph.errors import InputError
from radiograph.geometry.geometry import Geometry
from radiograph.manifest import Task
from service.inference.results import AnalysisResult
from service.inference.types import AnalysisRequest
from service.settings import Settings
from training.data.rows.reader import Reader, Row
from training.evaluation.predictions import true_masks
from training.metrics import auroc, dice

REQUEST = AnalysisRequest(tasks=(Task.CLASSIFY, Task.SEGMENT), uncertainty=True)
Errors = dict[str, list[tuple[float, bool]]]
"""Number of the answer -> its values, and whether each answer was wrong."""


def main() -> None:
    """Measure and print."""
    options = parser(__doc__ or "").parse_args()
    settings = Settings.from_environment().changed(
        models_dir=options.models_dir, default_model=options.model
    )
    version = open_version(settings, options.version)
    print(f"{version.analysis.identity}, split {options.split}\n")
    print("| set | figure | number | value | wrong of |\n|---|---|---|---|---|")
    for name in options.sets:
        findings: Errors = defaultdict(list)
        dices: list[tuple[float, float]] = []
        for row, reader in rows(options, name, options.split):
            try:
                result = version.analysis.run_here(REQUEST, reader.read(row.image))
            except InputError:
                continue
            add_findings(result, row, findings)
            dices.extend(of_masks(result, row, reader))
        show(name, "findings", findings)
        show(name, "masks", _lowest_tenth(dices))
    version.analysis.close()


def add_findings(result: AnalysisResult, row: Row, errors: Errors) -> None:
    """Add the decisions on findings whose truth is known, but for those that are withheld."""
    uncertain = (result.uncertainty or {}).get(Task.CLASSIFY, ())
    for finding, uncertainty in zip(result.findings or (), uncertain, strict=True):
        if finding.name not in row.findings or finding.threshold >= 1:
            continue
        wrong = finding.positive != row.findings[finding.name]
        errors["disagreement"].append((1 - uncertainty.agreement, wrong))
        errors["range"].append(((uncertainty.high or 0) - (uncertainty.low or 0), wrong))
        errors["closeness"].append((-abs(finding.probability - finding.threshold), wrong))


def of_masks(result: AnalysisResult, row: Row, reader: Reader) -> Iterator[tuple[float, float]]:
    """Yield disagreement and true Dice of each annotated mask."""
    geometry = Geometry.fit(result.image.rows, result.image.columns, 64)
    masks, counted = true_masks(reader.read, row, geometry)
    uncertain = (result.uncertainty or {}).get(Task.SEGMENT, ())
    for mask, uncertainty in zip(result.masks or (), uncertain, strict=True):
        if mask.name in masks and masks[mask.name].any():
            yield 1 - uncertainty.agreement, dice(mask.mask, masks[mask.name], counted)


def _lowest_tenth(dices: Sequence[tuple[float, float]]) -> Errors:
    if not dices:
        return {}
    bound = float(np.quantile([value for _, value in dices], 0.1))
    return {"disagreement": [(number, value <= bound) for number, value in dices]}


def show(name: str, figure: str, errors: Errors) -> None:
    """Print how well each number ranks the errors of a set."""
    for number, pairs in errors.items():
        values, wrong = np.array([v for v, _ in pairs]), np.array([w for _, w in pairs])
        if wrong.any() and not wrong.all():
            count = f"{wrong.sum()} of {len(wrong)}"
            print(f"| {name} | {figure} | {number} | {auroc(values, wrong):.3f} | {count} |")


if __name__ == "__main__":
    main()
