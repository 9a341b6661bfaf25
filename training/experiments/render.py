"""A table as Markdown and as CSV: ours beside the paper's, and why what is missing is missing.

results of a folder + reasons -> places -> one Markdown table a task | one CSV line a place
"""

import csv
import io
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from training.config.experiments import Column, TableRow
from training.config.run import Protocol
from training.experiments.markdown import grid, mean_and_spread
from training.experiments.plan import Cell, Job, cell_of, tasks
from training.experiments.published_figures import IMPOSSIBLE, NUMBERS, Printed, published
from training.experiments.result_store import Folder, Measured

SOURCE = "arXiv 2312.01522"
NOT_YET = "not computed yet"
CSV_COLUMNS = (
    "table", "protocol", "data", "task", "detector", "metric", "group", "row", "fraction",
    "mean", "spread", "low", "high", "seeds", "images", "paper", "missing",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """One place of a table.

    Attributes:
        row, column: of it.
        cells: that fill it, one a seed; none where the paper alone knows.
        found: figures, in the order of the cells, as far as they are there.
        why: reasons of those that are not.
        paper: what it prints.
    """

    protocol: Protocol
    row: TableRow
    column: Column
    fraction: float | None
    cells: tuple[Cell, ...]
    found: tuple[Measured, ...]
    why: tuple[str, ...]
    paper: Printed | None


def places(job: Job, folder: Folder, reasons: Mapping[Cell, str]) -> list[Place]:
    """Every place: by protocol, task and row, then by fraction and column.

    Args:
        job: the table.
        folder: of the results.
        reasons: why cells have none, as far as that is known.

    Raises:
        ValueError: a result is broken.
    """
    return [
        _place(job, folder, reasons, (protocol, name, fraction, key))
        for protocol in job.asked.protocols
        for task in tasks(job)
        for name in job.table.rows
        for fraction in job.fractions
        for key, column in job.table.columns.items()
        if column.task == task
    ]


def _place(
    job: Job,
    folder: Folder,
    reasons: Mapping[Cell, str],
    at: tuple[Protocol, str, float | None, str],
) -> Place:
    protocol, name, fraction, key = at
    row, column = job.table.rows[name], job.table.columns[key]
    each = (cell_of(job, row, column.task, protocol, fraction, s) for s in job.asked.seeds)
    wanted = tuple(dict.fromkeys(cell for cell in each if cell))
    found: list[Measured] = []
    why: dict[str, None] = {}
    for cell in wanted:
        result = folder.result(cell)
        if result and column.key in result.found:
            found.append(result.found[column.key])
        else:
            why[reasons.get(cell, NOT_YET)] = None
    paper = published(job.asked.table, name, key, fraction)
    return Place(protocol, row, column, fraction, wanted, tuple(found), tuple(why), paper)


def markdown(job: Job, all_places: Sequence[Place]) -> str:
    """The table, for a page."""
    reasons = list(dict.fromkeys(why for place in all_places for why in place.why))
    parts = [f"**Table {job.asked.table}. {job.table.title}.** {_about(job, all_places)}\n"]
    for (protocol, task), group in groupby(all_places, lambda p: (p.protocol, p.column.task)):
        parts.append(f"### {_heading(job, protocol, task)}\n")
        parts.append(_grid(job, list(group), reasons))
    if reasons:
        lines = (f"{number}. {reason}\n" for number, reason in enumerate(reasons, 1))
        parts.append("Missing:\n\n" + "".join(lines))
    return "\n".join(parts)


def _about(job: Job, all_places: Sequence[Place]) -> str:
    seeds = ", ".join(map(str, job.asked.seeds))
    detects = any(cell.detector for place in all_places for cell in place.cells)
    detector = f" Detector: {job.asked.detector}." if detects else ""
    spread = "with its 95 % interval" if len(job.asked.seeds) == 1 else "mean ± sample deviation"
    there = sum(len(place.found) for place in all_places)
    wanted = sum(len(place.cells) for place in all_places)
    said = (
        f"Test split, percent; seeds {seeds}: {spread}.{detector} {there} of {wanted} figures are "
        "there."
    )
    if job.asked.table not in NUMBERS:
        return said
    return f"{said} Paper: {SOURCE}; where it is empty, we do not know what the paper prints."


def _heading(job: Job, protocol: Protocol, task: str) -> str:
    columns = [column for column in job.table.columns.values() if column.task == task]
    said = [job.config.tasks[task].title]
    said += [columns[0].title] if len(columns) == 1 else []
    said += [f"protocol {protocol}"] if (*job.asked.protocols,) != ("sound",) else []
    return ", ".join(said)


def _grid(job: Job, of_task: Sequence[Place], reasons: Sequence[str]) -> str:
    grouped = any(row.group for row in job.table.rows.values())
    first = [place for place in of_task if place.row is of_task[0].row]
    several = len({place.column.title for place in first}) > 1
    titles = ["What", "Row"] if grouped else ["Row"]
    paper = job.asked.table in NUMBERS
    for place in first:
        titles += [_title(place, metric=several), *(["paper"] if paper else [])]
    rows = []
    for _, group in groupby(of_task, lambda place: id(place.row)):
        line = list(group)
        row = [line[0].row.group, line[0].row.title] if grouped else [line[0].row.title]
        for place in line:
            row += [_ours(place, reasons), *([_paper(place.paper)] if paper else [])]
        rows.append(row)
    return grid(titles, rows)


def _title(place: Place, *, metric: bool) -> str:
    labels = [place.column.title] if metric else []
    labels += [f"{100 * place.fraction:g} %"] if place.fraction is not None else []
    return " at ".join(labels) or place.column.title


def _ours(place: Place, reasons: Sequence[str]) -> str:
    if not place.cells:
        return IMPOSSIBLE if place.row.of else ""
    numbers = ", ".join(str(reasons.index(why) + 1) for why in place.why)
    if not place.found:
        return f"missing ({numbers})"
    said = mean_and_spread([measured.value for measured in place.found])
    if len(place.found) == 1 and place.found[0].low is not None:
        said += f" ({100 * place.found[0].low:.1f} to {100 * (place.found[0].high or 0):.1f})"
    short = f", {len(place.found)} of {len(place.cells)} seeds ({numbers})" if place.why else ""
    return said + short


def _paper(printed: Printed | None) -> str:
    if printed is None:
        return ""
    return printed if isinstance(printed, str) else f"{printed:.1f}"


def as_csv(job: Job, all_places: Sequence[Place]) -> str:
    """One line a place, figures in percent."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_lines(job, all_places))
    return buffer.getvalue()


def _lines(job: Job, all_places: Sequence[Place]) -> Iterator[dict[str, str]]:
    for place in all_places:
        column, row = place.column, place.row
        task = job.config.tasks[column.task]
        yield {
            "table": job.asked.table, "protocol": place.protocol, "data": task.data,
            "task": task.kind, "metric": column.metric, "group": row.group, "row": row.title,
            "detector": place.cells[0].detector if place.cells else "",
            "fraction": "" if place.fraction is None else f"{place.fraction:g}",
            "paper": _paper(place.paper), "missing": "; ".join(place.why), **_figures(place.found),
        }  # fmt: skip


def _figures(found: Sequence[Measured]) -> dict[str, str]:
    """Mean and spread of the seeds; the interval where there is one seed."""
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
    said = {key: "" if value is None else f"{100 * value:.2f}" for key, value in percent.items()}
    return said | {"seeds": str(len(found)), "images": str(max(m.n for m in found))}
