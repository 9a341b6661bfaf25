"""Findings of a published version at a hospital that its heads never saw: cases of VQA-RAD.

    python -m bench.accuracy.unseen_hospital --data ../shared/data --version stable

    answers of clinicians --rule--> truth --.
    graphs that are served ----> decisions -+--> figures with intervals, warnings

The truth is what clinicians answered about each radiograph (see `answers`). No head learns from
this set, but the image-report pre-training of a version may. Its train rows are then left out of
the figures "in no stage", which are those of a hospital that the version never saw. Sensitivity
and specificity are those of the answers that are served. A finding that is withheld has none.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import yaml

from bench.accuracy.published_version import Version, parser
from bench.accuracy.unseen_hospital.answers import FINDINGS, Truth, truth
from g2d.loading import open_version
from radiograph.errors import InputError
from radiograph.manifest import HeadSpec, ModelManifest, Task
from radiograph.postprocess import heads
from radiograph.postprocess.activations import sigmoid
from service.inference.types import AnalysisRequest
from service.settings import Settings
from training.config.run import DataConfig
from training.data.catalog import open_table
from training.data.rows.reader import Row
from training.metrics import Ranked, bootstrap
from training.metrics.arrays import BoolArray, Float64Array

SET = "vqa_rad_chest"
NO_FINDING = "No finding"
LEAST = 3
"""Smallest number of radiographs with a finding, and without it, by which it is measured."""
UNSEEN = ", in no stage"
"""Added to the label where rows that a stage of the version trained on are left out."""
HEADER = (
    "| set | finding | AUROC | 95 % interval | sensitivity | specificity | present |\n"
    "|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, eq=False)
class Measured:
    """One radiograph.

    Attributes:
        row: row of the data set.
        truth: what its answers say.
        probabilities: K, calibrated, in the order of the labels.
        positive: K, the decisions.
        warnings: codes of the warnings.
    """

    row: Row
    truth: Truth
    probabilities: Float64Array
    positive: BoolArray
    warnings: frozenset[str]

    def present(self, finding: str) -> bool | None:
        """Return whether the radiograph shows a finding; None if that is not known."""
        return self.truth.normal if finding == NO_FINDING else self.truth.findings.get(finding)


def main() -> None:
    """Measure and print Markdown tables."""
    command = parser(__doc__ or "")
    command.set_defaults(sets=[SET], split="")
    options = command.parse_args()
    version = Version(options.models_dir, options.model, options.version)
    settings = Settings.from_environment().changed(
        models_dir=options.models_dir, default_model=options.model
    )
    served = open_version(settings, options.version)
    name = version.head(Task.CLASSIFY)
    spec = version.manifest.heads[name]
    table = open_table(DataConfig(root=options.data, tables=(SET,)), SET)
    found: list[Measured] = []
    for row in table.rows():
        if row.reason_left_out:
            continue
        picture = table.read(row.image)
        try:
            tensor, _ = version.read(picture)
            answer = served.analysis.run_here(AnalysisRequest(tasks=(Task.CLASSIFY,)), picture)
        except InputError:
            continue
        raw = version.backend.infer(tensor[None], [name]).heads[name]["logits"][0]
        probabilities = sigmoid(np.asarray(raw, dtype=np.float64), spec.temperature)
        codes = frozenset(notice.code for notice in answer.warnings)
        positive = heads.positive(spec, probabilities)
        found.append(Measured(row, truth(row.answers), probabilities, positive, codes))
    served.analysis.close()
    version.backend.close()
    print(f"{served.analysis.identity}\n\n{HEADER}")
    for line in lines(found, spec, trained_splits(version.manifest)):
        print(line)
    print("\n| warning | radiographs |\n|---|---|")
    for code, number in Counter(code for each in found for code in each.warnings).most_common():
        print(f"| `{code}` | {number} of {len(found)} |")


def trained_splits(manifest: ModelManifest) -> frozenset[str]:
    """Return the splits of the set that any stage of a version trained on: train, or none."""
    for text in manifest.provenance.configuration.values():
        if SET in yaml.safe_load(text).get("data", {}).get("tables", ()):
            return frozenset({"train"})
    return frozenset()


def lines(found: Sequence[Measured], spec: HeadSpec, trained: frozenset[str]) -> Iterator[str]:
    """Yield the rows of the table.

    Args:
        found: the radiographs.
        spec: head of the findings.
        trained: splits that the version trained on.
    """
    unseen = [each for each in found if each.row.split not in trained]
    for words, chosen in (("", found), (UNSEEN, unseen)):
        for place, label in enumerate(spec.labels):
            if label.name != NO_FINDING and label.name not in FINDINGS:
                continue
            known = [each for each in chosen if each.present(label.name) is not None]
            true = np.array([each.present(label.name) for each in known], dtype=bool)
            if min(true.sum(), (~true).sum()) >= LEAST:
                yield f"| {SET} | {label.name}{words} | {_figures(known, true, place, spec)} |"


def _figures(known: Sequence[Measured], true: BoolArray, place: int, spec: HeadSpec) -> str:
    """Return the cells of one finding.

    Args:
        known: N radiographs of which the finding is known.
        true: N, whether it is present.
        place: number of its label.
        spec: head of the findings.
    """
    scores = np.array([each.probabilities[place] for each in known])
    patients = [each.row.patient_id for each in known]
    area = bootstrap(Ranked(scores, true).area, patients)
    decisions = ["withheld", "withheld"]
    if not spec.labels[place].withheld:
        called = np.array([each.positive[place] for each in known], dtype=bool)
        decisions = [f"{called[true].mean():.3f}", f"{(~called[~true]).mean():.3f}"]
    return (
        f"{area.value:.3f} | {area.low:.3f} to {area.high:.3f} | {' | '.join(decisions)} "
        f"| {true.sum()} of {len(true)}"
    )


if __name__ == "__main__":
    main()
