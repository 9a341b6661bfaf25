"""What an ablation found, as Markdown: mean and spread of the seeds, and paired differences.

<out>/cells, <out>/pretrain -> tables -> the part of a page between two markers

Everything here is read from the results; what they mean is said on the page, outside of the
markers, by whoever has seen the figures.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.config.ablation import AblationConfig, Arm
from training.data.catalog import TITLES
from training.experiments.ablation import PRETRAINED, Cell, Folder, Result, cells
from training.experiments.markdown import grid, markers, mean_and_spread

MARKERS = markers("ablation")
ARMS: dict[Arm, str] = {
    "random": "random encoder, no pre-training",
    "imagenet": "ImageNet encoder, no pre-training",
    "none": "image-report loss alone",
    "pseudo": "with pseudo segmentation",
    "shuffled": "with shuffled pseudo masks",
}
TASKS = {"segment": "Lungs, Dice", "classify": "Pneumonia, AUROC"}
Key = tuple[Arm, str]
"""Arm and start of the head."""
PAIRS: tuple[tuple[Arm, str, Arm, str], ...] = (
    ("pseudo", "transferred", "none", "new"),
    ("pseudo", "new", "none", "new"),
    ("pseudo", "transferred", "shuffled", "transferred"),
    ("pseudo", "new", "shuffled", "new"),
    ("pseudo", "transferred", "imagenet", "new"),
    ("pseudo", "new", "imagenet", "new"),
    ("none", "new", "imagenet", "new"),
)
"""Differences that the paper's claims are about: first minus second."""


def describe(config: AblationConfig, out: Path) -> str:
    """The generated part of the page.

    Raises:
        FileNotFoundError: there are no results.
        ValueError: the folder belongs to another configuration, or holds something else.
    """
    folder = Folder(out)
    folder.check(config)
    wanted = cells(config)
    found = {cell: result for cell in wanted if (result := folder.result(cell)) is not None}
    parts = [_setting(config, folder, list(found.values()))]
    for task, probe in (("segment", config.segment), ("classify", config.classify)):
        for table in probe.tables:
            title = f"### {TASKS[task]}: {TITLES.get(table, table)}\n"
            measured = _Measured(config, found, task, table)
            parts += [title, measured.figures(), "First minus second, paired by seed:\n"]
            parts.append(measured.differences())
    parts.append(_missing(wanted, found))
    return "\n".join(parts)


def _setting(config: AblationConfig, folder: Folder, found: Sequence[Result]) -> str:
    """What was pre-trained, how long it took, and where the code stood."""
    run = config.pretrain
    names = ", ".join(f"`{table}`" for table in run.data.tables)
    commits = ", ".join(sorted({f"`{result.commit[:12]}`" for result in found}))
    said = (
        f"Pre-training on {names}: train rows, licences {' and '.join(run.data.licences)}; "
        f"`{run.model.encoder.name}` at {run.preprocess.size_px} px; epochs: {run.epochs}, in "
        f"batches of {run.batch_size}. Seeds {', '.join(map(str, config.seeds))}; commit "
        f"{commits or 'none'}. Losses are means of the last {run.checkpoint_every} steps or fewer."
    )
    titles = ("Arm", "Seed", "Steps", "Minutes", "Image-report loss", "Decoder loss")
    arms = [arm for arm in config.arms if arm in PRETRAINED]
    rows = [_pretraining(folder, arm, seed) for arm in arms for seed in config.seeds]
    spent = sum(result.seconds for result in found) / 60
    return f"{said}\n\n{grid(titles, rows)}\nThe probes took {spent:.0f} minutes in all.\n"


def _pretraining(folder: Folder, arm: Arm, seed: int) -> tuple[str, ...]:
    """Row of one pre-training: losses at its last note."""
    file = folder.run(arm, seed) / "history.jsonl"
    if not file.is_file():
        return (ARMS[arm], str(seed), "missing", "", "", "")
    notes = [json.loads(line) for line in file.read_text().splitlines()]
    last = notes[-1]
    decoder = f"{last['pa']:.3f}" if "pa" in last else ""
    return (
        ARMS[arm], str(seed), str(last["step"]), f"{_minutes(notes):.1f}", f"{last['vla']:.2f}",
        decoder,
    )  # fmt: skip


def _minutes(notes: Sequence[dict[str, float]]) -> float:
    """Over all starts: a note counts from its own start, so a smaller one begins anew."""
    total, before = 0.0, 0.0
    for note in notes:
        total += note["minutes"] - (before if note["minutes"] >= before else 0.0)
        before = note["minutes"]
    return total


@dataclass(frozen=True)
class _Measured:
    """What was measured of one task on one table."""

    config: AblationConfig
    found: dict[Cell, Result]
    task: str
    table: str

    def keys(self) -> list[Key]:
        """Arms and starts of the head, in the order of the configuration."""
        asked = [cell for cell in cells(self.config) if cell.task == self.task]
        order = {(arm, start): None for arm in self.config.arms for start in ("new", "transferred")}
        return [key for key in order if key in {(cell.arm, cell.start) for cell in asked}]

    def by_seed(self, key: Key, fraction: float) -> dict[int, float]:
        """Seed -> figure, of the seeds that are there."""
        arm, start = key
        asked = [Cell(s, arm, self.task, self.table, start, fraction) for s in self.config.seeds]
        return {cell.seed: self.found[cell].found.value for cell in asked if cell in self.found}

    def figures(self) -> str:
        """Mean and spread of each arm at each fraction."""
        segments = self.task == "segment"
        titles = ["Pre-training", "Decoder"] if segments else ["Pre-training"]
        rows = [
            [ARMS[arm], *([start] if segments else []), *self._row((arm, start))]
            for arm, start in self.keys()
        ]
        return grid([*titles, *map(self._title, self.config.fractions)], rows)

    def differences(self) -> str:
        """Paired differences, and in how many seeds the first is higher."""
        there = self.keys()
        pairs = [((a, b), (c, d)) for a, b, c, d in PAIRS if (a, b) in there and (c, d) in there]
        rows = [
            [self._called(one), self._called(other)]
            + [self._difference(one, other, fraction) for fraction in self.config.fractions]
            for one, other in pairs
        ]
        return grid(["First", "Second", *(f"{100 * f:g} %" for f in self.config.fractions)], rows)

    def _row(self, key: Key) -> list[str]:
        every = len(self.config.seeds)
        row: list[str] = []
        for fraction in self.config.fractions:
            values = list(self.by_seed(key, fraction).values())
            short = f" ({len(values)} of {every} seeds)" if 0 < len(values) < every else ""
            row.append(mean_and_spread(values) + short)
        return row

    def _difference(self, one: Key, other: Key, fraction: float) -> str:
        a, b = self.by_seed(one, fraction), self.by_seed(other, fraction)
        values = [a[seed] - b[seed] for seed in a if seed in b]
        higher = f", higher in {sum(v > 0 for v in values)} of {len(values)}" if values else ""
        return mean_and_spread(values, sign=True) + higher

    def _title(self, fraction: float) -> str:
        """`1 % (33 to 37 images)`."""
        counts = {
            result.found.labels
            for cell, result in self.found.items()
            if (cell.task, cell.table, cell.fraction) == (self.task, self.table, fraction)
        }
        title = f"{100 * fraction:g} %"
        if not counts:
            return title
        low, high = min(counts), max(counts)
        return f"{title} ({low if low == high else f'{low} to {high}'} images)"

    def _called(self, key: Key) -> str:
        arm, start = key
        return f"{arm}, {start} decoder" if self.task == "segment" else arm


def _missing(wanted: Sequence[Cell], found: dict[Cell, Result]) -> str:
    """Names what was not computed."""
    left = Counter((c.arm, c.seed, c.task) for c in wanted if c not in found)
    if not left:
        return f"All {len(wanted)} results are there.\n"
    named = [f"{task} after {arm}, seed {seed} ({n})" for (arm, seed, task), n in left.items()]
    return f"Missing, {left.total()} of {len(wanted)} results: {'; '.join(named)}.\n"
