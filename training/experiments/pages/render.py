"""Tables as Markdown and CSV: our figures beside the paper's, and why a figure is missing.

results of a folder + reasons -> entries -> one Markdown grid a task | one CSV line an entry
"""

import csv
import io
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from training.config.experiments import Column, TableRow
from training.config.run import Protocol
from training.experiments.pages.markdown import grid, mean_and_spread
from training.experiments.pages.paired_differences import differences, pretraining_report
from training.experiments.pages.published_figures import IMPOSSIBLE, NUMBERS, Printed, published
from training.experiments.plan import Cell, TableJob, cell_of, tasks
from training.experiments.result_store import Measured, ResultFolder

SOURCE = "arXiv 2312.01522"
NOT_YET = "not computed yet"
CSV_COLUMNS = (
    "table", "protocol", "data", "task", "detector", "metric", "group", "row", "fraction",
    "mean", "spread", "low", "high", "seeds", "images", "paper", "missing",
)  # fmt: skip


@dataclass(frozen=True)
class TableEntry:
    """One place of a table.

    Attributes:
        protocol, row, column, fraction: the place.
        name: name of the row.
        cells: cells that fill it, one for each seed; empty where only the paper has a figure.
        found: figures of the cells that have one, in their order.
        labels: number of labelled training images of each result that says so.
        why: reasons of the figures that are missing.
        paper: figure that the paper prints.
    """

    protocol: Protocol
    name: str
    row: TableRow
    column: Column
    fraction: float | None
    cells: tuple[Cell, ...]
    found: dict[Cell, Measured]
    labels: tuple[int, ...]
    why: tuple[str, ...]
    paper: Printed | None


def table_entries(
    job: TableJob, folder: ResultFolder, reasons: Mapping[Cell, str]
) -> list[TableEntry]:
    """Return every entry: by protocol, task and row, then by fraction and column.

    Args:
        job: the table.
        folder: folder of the results.
        reasons: reasons why cells have no result, where they are known.

    Raises:
        ValueError: a result is broken.
    """
    return [
        _entry(job, folder, reasons, (protocol, name, fraction, key))
        for protocol in job.request.protocols
        for task in tasks(job)
        for name in job.table.rows
        for fraction in job.fractions
        for key, column in job.table.columns.items()
        if column.task == task
    ]


def _entry(
    job: TableJob,
    folder: ResultFolder,
    reasons: Mapping[Cell, str],
    place: tuple[Protocol, str, float | None, str],
) -> TableEntry:
    protocol, name, fraction, key = place
    row, column = job.table.rows[name], job.table.columns[key]
    each = (cell_of(job, row, column.task, protocol, fraction, seed) for seed in job.seeds)
    needed = tuple(dict.fromkeys(cell for cell in each if cell))
    results = {cell: folder.result(cell) for cell in needed}
    found = {c: r.found[column.key] for c, r in results.items() if r and column.key in r.found}
    labels = tuple(r.probe.labels for r in results.values() if r and r.probe)
    lacking = (cell for cell in needed if cell not in found)
    why = tuple(dict.fromkeys(reasons.get(cell) or _why(folder, cell) for cell in lacking))
    paper = published(job.request.table, name, key, fraction)
    return TableEntry(protocol, name, row, column, fraction, needed, found, labels, why, paper)


def _why(folder: ResultFolder, cell: Cell) -> str:
    failure = folder.failure(cell)
    return f"failed: {failure}" if failure else NOT_YET


def markdown(job: TableJob, folder: ResultFolder, entries: Sequence[TableEntry]) -> str:
    """Return the table for a page.

    A table that pre-trains each seed begins with its pre-trainings; one that has pairs ends each
    task with their differences.
    """
    reasons = list(dict.fromkeys(why for entry in entries for why in entry.why))
    parts = [f"**Table {job.request.table}. {job.table.title}.** {_summary(job, entries)}\n"]
    if job.config.pretrains_each_seed:
        parts.append(pretraining_report(job, folder))
    for (protocol, task), group in groupby(entries, lambda e: (e.protocol, e.column.task)):
        of_task = list(group)
        parts += [f"### {_heading(job, protocol, task)}\n", _grid(job, of_task, reasons)]
        if job.table.pairs:
            parts += _paired(job, of_task)
    if reasons:
        lines = (f"{number}. {reason}\n" for number, reason in enumerate(reasons, 1))
        parts.append("Missing:\n\n" + "".join(lines))
    return "\n".join(parts)


def _summary(job: TableJob, entries: Sequence[TableEntry]) -> str:
    seeds = ", ".join(map(str, job.seeds))
    detects = any(cell.detector for entry in entries for cell in entry.cells)
    detector = f" Detector: {job.request.detector}." if detects else ""
    spread = "with its 95 % interval" if len(job.seeds) == 1 else "mean ± sample deviation"
    there = sum(len(entry.found) for entry in entries)
    needed = sum(len(entry.cells) for entry in entries)
    summary = (
        f"Test split, percent; seeds {seeds}: {spread}.{detector} {there} of {needed} figures are "
        "there."
    )
    if job.request.table not in NUMBERS:
        return summary
    return f"{summary} Paper: {SOURCE}; where it is empty, we do not know what the paper prints."


def _heading(job: TableJob, protocol: Protocol, task: str) -> str:
    columns = [column for column in job.table.columns.values() if column.task == task]
    parts = [job.config.tasks[task].title]
    parts += [columns[0].title] if len(columns) == 1 else []
    parts += [f"protocol {protocol}"] if (*job.request.protocols,) != ("sound",) else []
    return ", ".join(parts)


def _grid(job: TableJob, of_task: Sequence[TableEntry], reasons: Sequence[str]) -> str:
    grouped = any(row.group for row in job.table.rows.values())
    first = [entry for entry in of_task if entry.name == of_task[0].name]
    several = len({entry.column.title for entry in first}) > 1
    titles = ["What", "Row"] if grouped else ["Row"]
    paper = job.request.table in NUMBERS
    for entry in first:
        images = [n for e in of_task if e.fraction == entry.fraction for n in e.labels]
        title = _title(entry, metric=several) + _images(images)
        titles += [title, *(["paper"] if paper else [])]
    rows = []
    for _, group in groupby(of_task, lambda entry: entry.name):
        line = list(group)
        row = [line[0].row.group, line[0].row.title] if grouped else [line[0].row.title]
        for entry in line:
            row += [_ours(entry, reasons), *([_paper(entry.paper)] if paper else [])]
        rows.append(row)
    return grid(titles, rows)


def _paired(job: TableJob, of_task: Sequence[TableEntry]) -> Iterator[str]:
    """Yield the differences of each column of one task."""
    columns = {entry.column.title: entry.column for entry in of_task}
    for title, column in columns.items():
        figures = {
            (entry.name, entry.fraction): {c.seed: m.value for c, m in entry.found.items()}
            for entry in of_task
            if entry.column is column and entry.cells
        }
        metric = f" of {title}" if len(columns) > 1 else ""
        yield f"First minus second{metric}, paired by seed:\n"
        yield differences(job.table, job.fractions, figures)


def _title(entry: TableEntry, *, metric: bool) -> str:
    parts = [entry.column.title] if metric else []
    parts += [f"{100 * entry.fraction:g} %"] if entry.fraction is not None else []
    return " at ".join(parts) or entry.column.title


def _images(counts: Sequence[int]) -> str:
    """Return the range of the numbers of labelled images, such as ` (33 to 37 images)`."""
    if not counts:
        return ""
    low, high = min(counts), max(counts)
    return f" ({low if low == high else f'{low} to {high}'} images)"


def _ours(entry: TableEntry, reasons: Sequence[str]) -> str:
    if not entry.cells:
        return IMPOSSIBLE if entry.row.of else ""
    numbers = ", ".join(str(reasons.index(why) + 1) for why in entry.why)
    if not entry.found:
        return f"missing ({numbers})"
    figures = list(entry.found.values())
    text = mean_and_spread([measured.value for measured in figures])
    if len(figures) == 1 and figures[0].low is not None:
        text += f" ({100 * figures[0].low:.1f} to {100 * (figures[0].high or 0):.1f})"
    short = f", {len(figures)} of {len(entry.cells)} seeds ({numbers})" if entry.why else ""
    return text + short


def _paper(printed: Printed | None) -> str:
    if printed is None:
        return ""
    return printed if isinstance(printed, str) else f"{printed:.1f}"


def as_csv(job: TableJob, entries: Sequence[TableEntry]) -> str:
    """Return one CSV line for each entry, figures in percent."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_lines(job, entries))
    return buffer.getvalue()


def _lines(job: TableJob, entries: Sequence[TableEntry]) -> Iterator[dict[str, str]]:
    for entry in entries:
        column, row = entry.column, entry.row
        task = job.config.tasks[column.task]
        yield {
            "table": job.request.table, "protocol": entry.protocol, "data": task.data,
            "task": task.kind, "metric": column.metric, "group": row.group, "row": row.title,
            "detector": entry.cells[0].detector if entry.cells else "",
            "fraction": "" if entry.fraction is None else f"{entry.fraction:g}",
            "paper": _paper(entry.paper), "missing": "; ".join(entry.why),
            **_figures(list(entry.found.values())),
        }  # fmt: skip


def _figures(found: Sequence[Measured]) -> dict[str, str]:
    """Return mean and spread of several seeds, or the interval of one."""
    if not found:
        return {}
    values = [measured.value for measured in found]
    one = found[0] if len(found) == 1 else None
    percent = {
        "mean": statistics.fmean(values),
        "spread": statistics.stdev(values) if len(values) > 1 else None,
        "low": one.low if one else None,
        "high": one.high if one else None,
    }
    texts = {key: "" if value is None else f"{100 * value:.2f}" for key, value in percent.items()}
    return texts | {"seeds": str(len(found)), "images": str(max(m.n for m in found))}
