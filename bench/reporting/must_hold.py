"""What is asked of the shipped model, and what its figures say was reached.

    manifest of the version ---.
    tables of the page ----------> figures --requirements--> worst one of each --> Markdown table

A requirement is about all of its figures, and the row has the worst of them with its place. Figures
of few images count all the same; the row gives their number.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from radiograph.manifest import Metric, ModelManifest, Task

ORGANS = ("left lung", "right lung", "heart")
LUNGS = ("Left lung", "Right lung", "Both lungs")
NIH = ("nih_subset", "nih_boxes")
EVERY = "all findings"
POINTING = "pointing (aligned)"
STAYS = "decisions that stay"
LEFT_OUT = "source left out"
HOSPITAL = "unseen hospital"
BEGIN, END = "<!-- must hold -->", "<!-- end of must hold -->"
"""Lines of a page between which the table stands."""
_STAYS = re.compile(
    rf"^\| (\w+) \| {STAYS} \| all changes \| .* \| ([\d.]+) \| (\d+) \|$", re.MULTILINE
)
_UNSEEN = re.compile(
    r"^\| (\w+) \| (left lung|right lung|heart) \| [\d.]+ \| ([\d.]+) "
    r"\| [\d.]+ \| [^|]+ \| [\d.]+ \| (\d+) \|$",
    re.MULTILINE,
)
_LEFT_OUT = re.compile(
    r"^\| (\w+) \| \w+ \| ([^|]+) \| dice \| [\d.]+ \| ([\d.]+) "
    r"\| [-+][^|]+ \| [^|]+ \| (\d+) \|$",
    re.MULTILINE,
)
_HOSPITAL = re.compile(
    r"^\| (\w+) \| (No finding[^|]*) \| ([\d.]+) \| [\d.]+ to [\d.]+ "
    r"\| [^|]+ \| [^|]+ \| \d+ of (\d+) \|$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Requirement:
    """One thing that is asked.

    Attributes:
        what: what is asked, in words.
        asked: the bound.
        chosen: tells the figures that it is about.
        at_most: True if smaller figures are better.
        without: reason for which there may be no figure, or "".
    """

    what: str
    asked: float
    chosen: Callable[[Metric], bool]
    at_most: bool = False
    without: str = ""

    def row(self, metrics: Sequence[Metric]) -> str:
        """Return the row of the table: the worst figure, whether it suffices, and its place."""
        found = [metric for metric in metrics if self.chosen(metric)]
        bound = f"{'at most' if self.at_most else 'at least'} {self.asked:g}"
        if not found:
            reason = f": {self.without}" if self.without else ""
            return f"| {self.what} | {bound} | not measured{reason} | | |"
        worst = (max if self.at_most else min)(found, key=lambda metric: metric.value)
        place = f"{worst.label}, {worst.data}, {worst.n} images"
        number = sum(self._holds(metric) for metric in found)
        return (
            f"| {self.what} | {bound} | {worst.value:.3f} ({place}) | {number} of {len(found)} "
            f"| {'yes' if self._holds(worst) else 'no'} |"
        )

    def _holds(self, metric: Metric) -> bool:
        return metric.value <= self.asked if self.at_most else metric.value >= self.asked


def with_table(text: str, manifest: ModelManifest) -> str:
    """Return a page whose table of requirements is that of a version; unchanged without one.

    Args:
        text: the page, whose other tables have figures that are not in the manifest. Those with
            unseen wordings stand for the ones of the manifest, whose wordings may be retired.
        manifest: the version.
    """
    before, begins, rest = text.partition(BEGIN)
    _, ends, after = rest.partition(END)
    if not begins or not ends:
        return text
    metrics = [each for each in manifest.provenance.metrics if each.split == "test"]
    unseen = {(each.data, each.label): each for each in _of_page(_UNSEEN, text, POINTING)}
    metrics = [
        each if each.metric != POINTING else unseen.pop((each.data, each.label), each)
        for each in metrics
    ]
    metrics += [*_of_page(_STAYS, text, STAYS), *_of_page(_LEFT_OUT, text, LEFT_OUT)]
    metrics += [*unseen.values(), *_of_page(_HOSPITAL, text, HOSPITAL)]
    rows = (each.row(metrics) for each in requirements(manifest))
    head = "| must hold | asked | reached: the worst figure | figures that suffice | holds |"
    return "\n".join([before + begins, "", head, "|---|---|---|---|---|", *rows, "", ends + after])


def _of_page(pattern: re.Pattern[str], text: str, metric: str) -> Iterator[Metric]:
    """Yield the figures of the rows of a page: set, label where there is one, value and number."""
    for data, *label, value, number in pattern.findall(text):
        about = label[0] if label else "all changes"
        yield Metric(
            data=data,
            split="test",
            task=Task.CLASSIFY,
            label=f"{about}, unseen wordings" if metric == POINTING else about,
            metric=metric,
            value=float(value),
            low=float(value),
            high=float(value),
            n=int(number),
        )


def requirements(manifest: ModelManifest) -> Iterator[Requirement]:
    """Yield what is asked of a version."""
    yield Requirement("Dice of the lungs, each set", 0.965, _dice(LUNGS))
    yield Requirement("Dice of the heart, each set", 0.94, _dice(("Heart",)))
    yield Requirement("Dice of the lungs, source left out", 0.95, _left_out(LUNGS))
    yield Requirement(
        "Dice of the heart, source left out",
        0.9,
        _left_out(("Heart",)),
        without="one set alone has masks of hearts",
    )
    yield Requirement(
        "AUROC of pneumonia, children",
        0.985,
        lambda m: _is(m, "auroc", "Pneumonia") and m.data == "kermany_224",
    )
    yield Requirement(
        "AUROC of abnormal against none, unseen hospital", 0.8, lambda m: m.metric == HOSPITAL
    )
    yield Requirement(
        "macro AUROC, both parts of NIH", 0.8, lambda m: _is(m, "macro auroc", EVERY) and _nih(m)
    )
    yield Requirement("pointing at lungs and heart, any wording", 0.95, _points_at_organ)
    yield Requirement(
        "pointing at boxes of findings", 0.7, lambda m: _is(m, POINTING, "boxes of findings")
    )
    yield Requirement("pointing at the boxes of each finding, NIH", 0.2, _points_at_finding)
    yield Requirement(
        "boxes found at IoU 0.3 with one false box an image",
        0.45,
        lambda m: _is(m, "found at iou 0.3", EVERY),
    )
    for check, asked in (("out_of_domain", 0.99), ("lateral", 0.95), ("mirrored", 0.97)):
        yield Requirement(f"AUROC of the check {check}", asked, _check(check))
    yield Requirement(
        "decisions that stay under harmless changes", 0.975, lambda m: m.metric == STAYS
    )
    yield Requirement(
        "calibration error of each finding that is answered, each set",
        0.05,
        _calibrated(manifest),
        at_most=True,
    )


def _is(metric: Metric, name: str, label: str) -> bool:
    return metric.metric == name and metric.label == label and metric.task != "check"


def _nih(metric: Metric) -> bool:
    return metric.data in NIH


def _dice(labels: Sequence[str]) -> Callable[[Metric], bool]:
    return lambda m: m.metric == "dice" and m.label in labels


def _left_out(labels: Sequence[str]) -> Callable[[Metric], bool]:
    return lambda m: m.metric == LEFT_OUT and m.label in labels


def _points_at_organ(metric: Metric) -> bool:
    return metric.metric == POINTING and metric.label.partition(",")[0] in ORGANS


def _points_at_finding(metric: Metric) -> bool:
    plain = metric.label not in (*ORGANS, "boxes of findings") and "," not in metric.label
    return metric.metric == POINTING and plain and _nih(metric)


def _check(name: str) -> Callable[[Metric], bool]:
    return lambda m: m.task == "check" and m.label == name and m.metric == "auroc"


def _calibrated(manifest: ModelManifest) -> Callable[[Metric], bool]:
    answered = {
        label.name
        for head in manifest.heads_for(Task.CLASSIFY).values()
        for label in head.labels
        if not label.withheld
    }
    return lambda m: m.metric == "ece" and m.label in answered
