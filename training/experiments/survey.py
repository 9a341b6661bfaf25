"""State of the cells of a table before anything is computed: `g2d table --dry-run`.

cells -> done, to do, or waiting for something that is missing -> one line for each data set
                                                               -> each missing thing once
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from training.experiments.plan import Cell, TableJob, cells
from training.experiments.result_store import ResultFolder
from training.experiments.run import obstacles, undone


@dataclass(frozen=True)
class Survey:
    """State of the cells of a table.

    Attributes:
        job: the table.
        done: cells with a result.
        ready: cells that can be computed here -> why they failed before, or "".
        waiting: cells that cannot be computed here -> the reasons.
    """

    job: TableJob
    done: tuple[Cell, ...]
    ready: dict[Cell, str]
    waiting: dict[Cell, tuple[str, ...]]


def survey(job: TableJob, folder: ResultFolder) -> Survey:
    """Return the state of every cell; nothing is written.

    Raises:
        ValueError: the folder belongs to other settings, or a result is broken.
    """
    folder.refuse_others(job.claim)
    todo = undone(job, folder)
    reasons = {cell: tuple(obstacles(job, cell)) for cell in todo}
    return Survey(
        job,
        done=tuple(cell for cell in cells(job) if cell not in reasons),
        ready={cell: folder.failure(cell) for cell, why in reasons.items() if not why},
        waiting={cell: why for cell, why in reasons.items() if why},
    )


def describe(found: Survey) -> str:
    """Return the summary: counts, cells that can be computed, data sets, and what is missing."""
    return "\n".join([_counts(f"table {found.job.request.table}", found, None), *_lines(found)])


def _lines(found: Survey) -> Iterator[str]:
    for cell, failure in found.ready.items():
        yield f"  {cell.name}: " + (f"to do again, failed: {failure}" if failure else "to do")
    waiting = Counter(why for reasons in found.waiting.values() for why in reasons)
    numbers = {why: number for number, why in enumerate(waiting, 1)}
    for data in dict.fromkeys(_data(found, cell) for cell in cells(found.job)):
        lacks = (why for c, why in found.waiting.items() if _data(found, c) == data)
        needed = sorted({numbers[why] for reasons in lacks for why in reasons})
        yield _counts(data, found, data) + (f" for {', '.join(map(str, needed))}" if needed else "")
    for why, count in waiting.items():
        who = f"{count} cells wait" if count > 1 else "1 cell waits"
        yield f"{numbers[why]}. {who} for this: {why}"


def _counts(title: str, found: Survey, data: str | None) -> str:
    """Return the numbers of cells of the table, or of one of its data sets."""
    done, ready, waiting = (
        sum(data in (None, _data(found, cell)) for cell in group)
        for group in (found.done, found.ready, found.waiting)
    )
    return f"{title}: {done + ready + waiting} cells, {done} done, {ready} to do, {waiting} waiting"


def _data(found: Survey, cell: Cell) -> str:
    return found.job.config.tasks[cell.task].data
