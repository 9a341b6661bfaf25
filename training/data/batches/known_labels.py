"""Check, before a fine-tuning starts, that its data tell about each label that its heads learn.

configuration -> rows of the training split --described--> known findings, masks and boxes
              -> labels of the heads without any: refused, with the names that were found
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from radiograph.terminology.codes import Code
from training.config.finetune import FinetuneConfig
from training.config.run import DataConfig
from training.data.annotations.masks import LUNGS
from training.data.cache.build import selected_rows
from training.data.cache.cache import Cache
from training.data.catalog import open_table
from training.data.rows.reader import Row
from training.refusal import RunRefused

_MOST_NAMES = 30


@dataclass
class _Found:
    """Number of training rows of which each name is known.

    Attributes:
        rows: number of training rows.
        findings: rows of each finding.
        absent: rows that are known to be without a finding.
        masks: rows with a known mask.
        boxes: rows with known boxes; of an organ also those with its mask.
    """

    rows: int = 0
    findings: Counter[str] = field(default_factory=Counter)
    absent: Counter[str] = field(default_factory=Counter)
    masks: Counter[str] = field(default_factory=Counter)
    boxes: Counter[str] = field(default_factory=Counter)

    def add(self, row: Row) -> None:
        masks = {*row.masks, *row.complete_masks, *(LUNGS if row.lung_mask else ())}
        self.rows += 1
        self.findings.update(row.findings.keys())
        self.absent.update(name for name, present in row.findings.items() if not present)
        self.masks.update(masks)
        drawn = {name for name, _ in row.boxes}
        self.boxes.update({*drawn, *row.complete_boxes, *(masks & set(row.organs))})


def refuse_unknown_labels(config: FinetuneConfig) -> None:
    """Check that every label of a run is known of a training row.

    Raises:
        RunRefused: a finding, a mask or boxes are known of no training row, or a finding is
            absent from none; the message names it and what the data have.
    """
    found = _Found()
    for row in _training_rows(config.data):
        found.add(row)
    if reasons := list(_reasons(config, found)):
        tables = ", ".join(config.data.tables)
        raise RunRefused(f"{'; '.join(reasons)} (training rows of {tables}: {found.rows})")


def refuse_unread_labels(cache: Cache, config: FinetuneConfig) -> None:
    """Check that every label is known of a training row that is in the cache.

    A table may list masks or images that cannot be read, so that fewer rows are left than it has.

    Raises:
        RunRefused: a label is known of none; the message names the list of the rows left out.
    """
    if not cache.left_out:
        return
    known: dict[str, set[str]] = {"findings": set(), "masks": set(), "boxes": set()}
    for sample in (cache.samples[i] for i in cache.where("train")):
        known["findings"] |= sample.row.findings.keys()
        known["masks"] |= sample.known
        drawn = {name for name, _ in sample.boxes}
        known["boxes"] |= {*drawn, *sample.row.complete_boxes, *sample.known}
    asked = {"findings": config.findings, "masks": config.masks, "boxes": config.boxes}
    reasons = [
        f"{kind}: {_listed(missing)}"
        for kind, labels in asked.items()
        if (missing := set(labels) - known[kind])
    ]
    if reasons:
        raise RunRefused(
            f"no training row that could be read has a known label for {'; '.join(reasons)};"
            f" {cache.manifest} says why rows are left out"
        )


def codes_of(config: FinetuneConfig) -> dict[str, Code]:
    """Return the codes of the labels of a run: those of the configuration, then of its data.

    Raises:
        RunRefused: two data sets give a label different codes, and the configuration none.
    """
    labels = {*config.findings, *config.masks, *config.boxes}
    codes: dict[str, Code] = {}
    for table in config.data.tables:
        for name, code in open_table(config.data, table).description.codes.items():
            if name in labels and name not in config.codes and codes.setdefault(name, code) != code:
                raise RunRefused(f"{name} has two codes in the descriptions: choose one in codes")
    return codes | {name: code for name, code in config.codes.items() if name in labels}


def _training_rows(data: DataConfig) -> Iterator[Row]:
    yield from (row for row in selected_rows(data, []) if row.split == "train")


def _reasons(config: FinetuneConfig, found: _Found) -> Iterator[str]:
    kinds = (
        ("findings", config.findings, found.findings),
        ("masks", config.masks, found.masks),
        ("boxes", config.boxes, found.boxes),
    )
    for kind, labels, known in kinds:
        if missing := [name for name in labels if not known[name]]:
            has = f"{kind} in the data: {_listed(known)}" if known else f"the data have no {kind}"
            yield f"no training row has a known label for {kind}: {_listed(missing)}; {has}"
    if not (config.findings or config.masks or config.boxes or config.regions or config.checks):
        yield "the run trains no head: name findings, masks or boxes, or set regions: true"
    if always := [n for n in config.findings if found.findings[n] and not found.absent[n]]:
        yield (
            f"no training row is known to be without {_listed(always)}: "
            "say in the description of the data set which rows are (`known_for`, `normal`)"
        )
    if config.regions and not (found.masks or found.boxes):
        yield "the regions of phrases need masks or boxes, and the data have none: regions: false"


def _listed(names: Iterable[str]) -> str:
    """Return names as text, the first ones only if they are many."""
    every: Sequence[str] = sorted(names)
    more = len(every) - _MOST_NAMES
    return ", ".join(every[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
