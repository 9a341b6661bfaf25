"""Read queries: rows of the database as jobs and items."""

import json
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, func, select

from service.errors import JobNotFound
from service.jobs.job import Counts, Item, ItemState, Job, JobQuery
from service.jobs.storage.schema import items, jobs, results
from service.storage.database import now

NO_JOB = "there is no such job; finished jobs expire"

_FINAL = (ItemState.SUCCEEDED, ItemState.FAILED)


def job(connection: Connection, where: ColumnElement[bool]) -> Job:
    """Return the one job that matches a condition.

    Raises:
        JobNotFound: no job matches.
    """
    found = jobs_where(connection, where, limit=1)
    if not found:
        raise JobNotFound(NO_JOB)
    return found[0]


def owner(connection: Connection, name: str) -> str | None:
    """Return the owner of one job.

    Raises:
        JobNotFound: there is no such job.
    """
    found = connection.execute(select(jobs.c.owner).where(jobs.c.id == name)).first()
    if found is None:
        raise JobNotFound(NO_JOB)
    return found[0] if found[0] is None else str(found[0])


def jobs_where(connection: Connection, where: ColumnElement[bool], limit: int) -> list[Job]:
    """Return the jobs that match a condition, newest first."""
    statement = select(jobs).where(where).order_by(jobs.c.created.desc(), jobs.c.id).limit(limit)
    rows = connection.execute(statement).mappings().all()
    names = [row["id"] for row in rows]
    counts, labels = _counts(connection, names), _distinct_labels(connection, names)
    at = now(connection)
    return [_job(row, counts.get(row["id"], Counts()), labels[row["id"]], at) for row in rows]


def _counts(connection: Connection, ids: Sequence[str]) -> dict[str, Counts]:
    grouped = (
        select(items.c.job, items.c.state, func.count())
        .where(items.c.job.in_(ids))
        .group_by(items.c.job, items.c.state)
    )
    found: dict[str, dict[str, int]] = {}
    for name, state, count in connection.execute(grouped):
        found.setdefault(name, {})[state] = count
    return {name: Counts(**counts) for name, counts in found.items()}


def _distinct_labels(connection: Connection, ids: Sequence[str]) -> Counter[str]:
    grouped = (
        select(items.c.job, func.count(items.c.label.distinct()))
        .where(items.c.job.in_(ids))
        .group_by(items.c.job)
    )
    found: Counter[str] = Counter()
    for name, count in connection.execute(grouped):
        found[name] = count
    return found


def _job(row: RowMapping, counts: Counts, labels: int, at: float) -> Job:
    eta = None
    if row["started"] is not None and row["finished"] is None and counts.answered:
        took_s = max(0.0, at - row["started"])  # the clock may have been set back
        eta = took_s / counts.answered * (counts.total - counts.answered)
    times = {name: row[name] for name in ("created", "started", "finished", "expires")}
    return Job(
        id=row["id"],
        query=JobQuery.model_validate_json(row["question"]),
        fingerprint=row["fingerprint"],
        skipped=json.loads(row["skipped"]),
        counts=counts,
        labelled=labels == counts.total,
        eta_s=eta,
        owner=row["owner"],
        **times,
    )


def items_of(
    connection: Connection,
    name: str,
    after: int,
    limit: int,
    state: ItemState | None,
    *,
    answers: bool,
) -> list[Item]:
    """Return items of a job in order, beginning after number `after`.

    Raises:
        JobNotFound: there is no such job.
    """
    joined = items.outerjoin(
        results, (results.c.job == items.c.job) & (results.c.number == items.c.number)
    )
    columns: list[ColumnElement[Any]] = [
        *items.c,
        results.c.overlay.is_not(None).label("has_overlay"),
        results.c.objects.is_not(None).label("has_objects"),
    ]
    if answers:
        columns.append(results.c.json.label("result"))
    statement = (
        select(*columns).select_from(joined).where(items.c.job == name, items.c.number > after)
    )
    if answers:
        statement = statement.where(items.c.state.in_(_FINAL))
    if state is not None:
        statement = statement.where(items.c.state == state)
    rows = connection.execute(statement.order_by(items.c.number).limit(limit)).mappings().all()
    if not rows:
        job(connection, jobs.c.id == name)
    return [_item(row) for row in rows]


def _item(row: RowMapping) -> Item:
    compressed = row.get("result")
    return Item(
        number=row["number"],
        position=row["position"],
        label=row["label"],
        state=ItemState(row["state"]),
        attempts=row["attempts"],
        started=row["started"],
        finished=row["finished"],
        sha256=row["sha256"],
        problem=None if row["problem"] is None else json.loads(row["problem"]),
        overlay=bool(row["has_overlay"]),
        objects=bool(row["has_objects"]),
        result=None if compressed is None else zlib.decompress(compressed),
    )
