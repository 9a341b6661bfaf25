"""What other thresholds of a published version would find, and what they would find falsely.

    python -m bench.accuracy.operating_points --data ../shared/data --split valid

Phrases: for thresholds of presence, the share of the present findings that are found and of the
absent ones, and the share of the phrases with boxes whose peak is served and lies in a box. Boxes:
the share of the true boxes that `/detect` finds and its false boxes for each radiograph, with the
thresholds of the version, with those of the best F1 of each finding, and with those that find most
of all findings at so many false boxes. The last two are chosen on other patients, in five folds.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from zlib import crc32

import numpy as np

from bench.accuracy.published_version import FOUND_IOU, Floats, Version, parser, rows
from radiograph.errors import InputError
from radiograph.geometry.geometry import Box
from radiograph.manifest import HeadSpec, Task
from radiograph.postprocess import heads
from radiograph.postprocess.boxes import iou
from training.config.description import ORGANS
from training.data.rows.reader import Reader, Row
from training.evaluation.calibration.calibrate import USABLE_F1
from training.evaluation.phrases.questions import FINDINGS
from training.evaluation.phrases.regions import region_of
from training.evaluation.predictions import Prediction, true_boxes, true_masks

PRESENCES = (0.05, 0.1, 0.15, 0.2)
"""Thresholds of presence that are tried beside that of the version."""
BUDGETS = (0.25, 0.5, 0.75, 1.0)
"""Largest numbers of false boxes for each radiograph."""
GRID = tuple(round(0.1 + 0.05 * step, 2) for step in range(17))
"""Thresholds of a box that are tried."""
FOLDS = 5
_PHRASES = tuple(FINDINGS)


@dataclass
class Answers:
    """Scores of what is known of some radiographs.

    Attributes:
        radiographs: number of radiographs with boxes that are known.
        presences: probability of each phrase that is known to be present, or absent.
        peaks: probability of each phrase with boxes, and whether its peak lies in one.
        hits, false: scores of the predicted boxes of each label, as far as they match or not.
        boxes: number of true boxes of each label.
    """

    radiographs: int = 0
    presences: dict[bool, list[float]] = field(default_factory=lambda: defaultdict(list))
    peaks: list[tuple[float, bool]] = field(default_factory=list)
    hits: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    false: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    boxes: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def main() -> None:
    """Measure and print Markdown tables."""
    options = parser(__doc__ or "").parse_args()
    version = Version(options.models_dir, options.model, options.version)
    ground, detect = (_spec(version, task) for task in (Task.GROUND, Task.DETECT))
    phrases = version.encode(_PHRASES)
    parts: dict[str, list[Answers]] = {}
    for data in options.sets:
        folds = parts.setdefault(data, [Answers() for _ in range(FOLDS)])
        for row, reader in rows(options, data, options.split):
            fold = folds[crc32(row.patient_id.encode()) % FOLDS]
            try:
                _add(version, (row, reader), phrases, fold)
            except InputError:
                continue
    version.backend.close()
    print("| set | threshold of presence | present found | absent found | pointing | n |")
    print("|---|---|---|---|---|---|")
    served = ground.phrase_rule.threshold if ground.phrase_rule else 0.5
    for data, folds in parts.items():
        for threshold in (*PRESENCES, served):
            answers = joined(folds)
            if answers.presences[True]:
                print(f"| {data} | {threshold:.2f} | {of_presence(answers, threshold)} |")
    print("\n| thresholds of the boxes | found | false boxes for each radiograph | n |")
    print("|---|---|---|---|")
    together = [joined(same) for same in zip(*parts.values(), strict=True)]
    thresholds = {label.name: label.threshold for label in detect.labels}
    print(f"| as served | {of_boxes([(each, thresholds) for each in together])} |")
    print(f"| best F1 of each finding | {of_boxes(cross_fitted(together, best_f1))} |")
    for budget in BUDGETS:
        chosen = cross_fitted(together, partial(most_found, budget=budget))
        print(f"| most found, at most {budget:g} false | {of_boxes(chosen)} |")


def joined(parts: Sequence[Answers]) -> Answers:
    """Return the scores of several groups of radiographs together."""
    whole = Answers()
    for part in parts:
        whole.radiographs += part.radiographs
        whole.peaks += part.peaks
        for shown, scores in part.presences.items():
            whole.presences[shown] += scores
        for name in ("hits", "false"):
            for label, scores in getattr(part, name).items():
                getattr(whole, name)[label] += scores
        for label, number in part.boxes.items():
            whole.boxes[label] += number
    return whole


Thresholds = Mapping[str, float]
"""Label -> threshold of its boxes; a label without one is not served."""


def cross_fitted(
    folds: Sequence[Answers], choose: Callable[[Answers], Thresholds]
) -> list[tuple[Answers, Thresholds]]:
    """Return each fold with the thresholds that are chosen on the others."""
    return [
        (fold, choose(joined([other for other in folds if other is not fold]))) for fold in folds
    ]


def of_presence(answers: Answers, threshold: float) -> str:
    """Return the cells of a threshold of presence."""
    present, absent = (
        float(np.mean(np.array(answers.presences[shown]) >= threshold)) for shown in (True, False)
    )
    right = [inside and score >= threshold for score, inside in answers.peaks]
    pointing = f"{np.mean(right):.3f}" if right else ""
    number = len(answers.presences[True]) + len(answers.presences[False])
    return f"{present:.3f} | {absent:.3f} | {pointing} | {number}"


def of_boxes(parts: Sequence[tuple[Answers, Thresholds]]) -> str:
    """Return the cells of groups of radiographs, each with thresholds of its own."""
    found = sum(_reach(part.hits, chosen) for part, chosen in parts)
    false = sum(_reach(part.false, chosen) for part, chosen in parts)
    boxes = sum(sum(part.boxes.values()) for part, _ in parts)
    rate = false / sum(part.radiographs for part, _ in parts)
    return f"{found / boxes:.3f} | {rate:.3f} | {boxes}"


def _reach(scores: Mapping[str, Sequence[float]], thresholds: Thresholds) -> int:
    """Return the number of scores that reach the threshold of their label."""
    return sum(score >= thresholds.get(label, 1.0) for label in scores for score in scores[label])


def best_f1(answers: Answers) -> Thresholds:
    """Return the threshold of the best F1 of each label, as `g2d evaluate` chooses it."""
    chosen = {}
    for label, boxes in answers.boxes.items():
        rates = []
        for cut in GRID:
            hits = _reach({label: answers.hits[label]}, {label: cut})
            false = _reach({label: answers.false[label]}, {label: cut})
            rates.append(2 * hits / max(hits + false + boxes, 1))
        if max(rates) >= USABLE_F1:
            chosen[label] = GRID[int(np.argmax(rates))]
    return chosen


def most_found(answers: Answers, budget: float) -> Thresholds:
    """Return the thresholds that find most boxes, one step at a time.

    Each step lowers the threshold of the label that gains most boxes for its false ones.

    Args:
        answers: scores of some radiographs.
        budget: largest number of false boxes for each radiograph.
    """
    chosen: dict[str, float] = {}
    while steps := list(_steps(answers, chosen, budget)):
        _, label, threshold = max(steps)
        chosen[label] = threshold
    return chosen


def _steps(
    answers: Answers, chosen: Mapping[str, float], budget: float
) -> Iterator[tuple[float, str, float]]:
    """Yield every step within the budget: its gain, the label, and its threshold."""
    spent = _reach(answers.false, chosen)
    for label, hits in answers.hits.items():
        now = chosen.get(label, 1.0)
        for threshold in (cut for cut in GRID if cut < now):
            gained = sum(threshold <= score < now for score in hits)
            false = sum(threshold <= score < now for score in answers.false[label])
            if gained and spent + false <= budget * answers.radiographs:
                yield gained / (false + 0.5), label, threshold


def _spec(version: Version, task: Task) -> HeadSpec:
    method = "aligned" if task is Task.GROUND else None
    return version.manifest.heads[version.head(task, method)]


def _add(version: Version, source: tuple[Row, Reader], phrases: Floats, answers: Answers) -> None:
    """Add the answers to one radiograph."""
    row, reader = source
    tensor, geometry = version.read(reader.read(row.image))
    masks, counted = true_masks(reader.read, row, geometry)
    truth = Prediction(row, geometry, masks, counted, true_boxes(row, masks), {})
    names = [version.head(Task.GROUND, "aligned"), version.head(Task.DETECT)]
    raw = version.backend.infer(tensor[None], names, phrases).heads
    ground, detect = (
        {key: np.asarray(value[0]) for key, value in raw[name].items()} for name in names
    )
    _add_phrases(_spec(version, Task.GROUND), ground, truth, answers)
    _add_boxes(_spec(version, Task.DETECT), detect, truth, answers)


def _add_phrases(
    spec: HeadSpec, outputs: Mapping[str, Floats], truth: Prediction, answers: Answers
) -> None:
    """Add presence and peak of each phrase of which something is known."""
    always = spec.phrase_rule and spec.phrase_rule.model_copy(update={"threshold": 0.0})
    everything = spec.model_copy(update={"phrase_rule": always})
    for answer in heads.ground(everything, outputs, list(_PHRASES), truth.geometry):
        score = answer.presence.probability if answer.presence else answer.similarity
        known = [truth.row.findings.get(name) for name in FINDINGS[answer.phrase]]
        shown = next((each for each in known if each is not None), None)
        if shown is not None:
            answers.presences[shown].append(score)
        region = region_of(truth, answer.phrase)
        if region is not None and answer.peak is not None:
            x, y = answer.peak
            answers.peaks.append((score, bool(region.mask[int(y), int(x)])))


def _add_boxes(
    spec: HeadSpec, outputs: Mapping[str, Floats], truth: Prediction, answers: Answers
) -> None:
    """Add the scores of the boxes of findings that are known, true and false."""
    known = {label: boxes for label, boxes in truth.boxes.items() if label not in ORGANS}
    low = tuple(label.model_copy(update={"threshold": GRID[0]}) for label in spec.labels)
    found = heads.detect(spec.model_copy(update={"labels": low}), outputs, truth.geometry)
    answers.radiographs += bool(known)
    for label, boxes in known.items():
        answers.boxes[label] += len(boxes)
        free = list(boxes)
        for each in (each for each in found if each.name == label):
            match = _match(each.box, free)
            if match is not None:
                free.remove(match)
            (answers.false if match is None else answers.hits)[label].append(each.score)


def _match(box: Box, free: Sequence[Box]) -> Box | None:
    return next((true for true in free if iou(box, true) >= FOUND_IOU), None)


if __name__ == "__main__":
    main()
