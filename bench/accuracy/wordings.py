"""Pointing of a published version with wordings that nothing was trained on, one by one.

    python -m bench.accuracy.wordings --data ../shared/data

For each structure and finding with a known region, on each set: the share of radiographs in which
the peak of the map lies in the region (pointing) and in which the version finds the phrase (found),
with the plain wording, as a mean over the unseen wordings, and with the unseen wording that points
worst. The rows `absent` and `elsewhere` have the phrases of what no chest radiograph shows, and of
what the model does not locate, such as bones and devices.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bench.accuracy.published_version import Floats, Version, parser, rows
from radiograph.errors import InputError
from radiograph.manifest import Task
from radiograph.postprocess import heads
from radiograph.postprocess.grounding import Grounding
from training.data.rows.reader import Reader, Row
from training.data.text.phrases.unseen_wordings import HELD_OUT, HELD_OUT_ELSEWHERE
from training.evaluation.phrases.regions import TrueRegion, region_of
from training.evaluation.predictions import Prediction, true_boxes, true_masks

NOWHERE = ("absent", "elsewhere")
"""Concepts whose phrases are not to be found."""
HEADER = (
    "| set | phrase | plain wording | unseen wordings | found | worst one | its pointing | n |\n"
    "|---|---|---|---|---|---|---|---|"
)


@dataclass
class Shares:
    """Right answers of one phrase on one set, by wording: pointing, and found."""

    pointing: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    found: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))

    def row(self, name: str, concept: str) -> str:
        """Return the row of the table."""
        unseen = [text for text in self.found if text != concept]
        found = float(np.mean([np.mean(self.found[text]) for text in unseen]))
        number = len(next(iter(self.found.values())))
        if concept in NOWHERE:
            return f"| {name} | {concept} | | | {found:.3f} | | | {number} |"
        points = {text: float(np.mean(self.pointing[text])) for text in self.pointing}
        worst = min(unseen, key=lambda text: points[text])
        mean = float(np.mean([points[text] for text in unseen]))
        return (
            f"| {name} | {concept} | {points[concept]:.3f} | {mean:.3f} | {found:.3f} "
            f"| {worst} | {points[worst]:.3f} | {number} |"
        )


def main() -> None:
    """Measure and print a Markdown table."""
    options = parser(__doc__ or "").parse_args()
    version = Version(options.models_dir, options.model, options.version)
    unseen = {**HELD_OUT, "elsewhere": HELD_OUT_ELSEWHERE}
    asked = {c: texts if c in NOWHERE else (c, *texts) for c, texts in unseen.items()}
    features = {concept: version.encode(texts) for concept, texts in asked.items()}
    print(HEADER)
    for data in options.sets:
        shares: dict[str, Shares] = defaultdict(Shares)
        for row, reader in rows(options, data, options.split):
            try:
                radiograph = _read(version, row, reader)
            except InputError:
                continue
            for concept, texts in asked.items():
                region = region_of(radiograph.truth, concept)
                if region is not None or concept in NOWHERE:
                    answers = _answers(version, radiograph, texts, features[concept])
                    add(shares[concept], region, answers)
        for concept, each in shares.items():
            print(each.row(data, concept), flush=True)
    version.backend.close()


def add(shares: Shares, region: TrueRegion | None, answers: Sequence[Grounding]) -> None:
    """Keep the answers to the wordings of one phrase on one radiograph.

    Args:
        shares: right answers so far.
        region: where the phrase is; None if the radiograph does not show it.
        answers: one for each wording, with its peak whether the phrase was found or not.
    """
    for answer in answers:
        found = answer.presence is None or answer.presence.found
        shares.found[answer.phrase].append(found)
        if region is not None:
            x, y = answer.peak or (-1.0, -1.0)
            inside = answer.peak is not None and bool(region.mask[int(y), int(x)])
            shares.pointing[answer.phrase].append(inside)


@dataclass(frozen=True, eq=False)
class _Radiograph:
    """One radiograph: its input, 1 x S x S, and its truth."""

    tensor: Floats
    truth: Prediction


def _read(version: Version, row: Row, reader: Reader) -> _Radiograph:
    tensor, geometry = version.read(reader.read(row.image))
    masks, counted = true_masks(reader.read, row, geometry)
    truth = Prediction(row, geometry, masks, counted, true_boxes(row, masks), {})
    return _Radiograph(tensor, truth)


def _answers(
    version: Version, radiograph: _Radiograph, texts: Sequence[str], features: Floats
) -> list[Grounding]:
    """Return the answer to each wording, with the decision and with the peak of every map."""
    name = version.head(Task.GROUND, "aligned")
    raw = version.backend.infer(radiograph.tensor[None], [name], features).heads[name]
    outputs = {key: np.asarray(value[0]) for key, value in raw.items()}
    spec = version.manifest.heads[name]
    undecided = spec.model_copy(update={"phrase_rule": None})
    geometry = radiograph.truth.geometry
    decided = heads.ground(spec, outputs, texts, geometry)
    peaks = heads.ground(undecided, outputs, texts, geometry)
    return [replace(one, peak=other.peak) for one, other in zip(decided, peaks, strict=True)]


if __name__ == "__main__":
    main()
