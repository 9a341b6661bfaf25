"""Store: keeps jobs, hands out items under leases, and takes each answer once.

    accept -> queued --claim--> running --succeed | fail--> final --last item--> finished
                 ^------ retry, release, lease ended ------'

A lease is a token and a time. An answer must carry the current token, so that a process that was
believed lost cannot answer an item a second time. Two processes never claim the same item:
PostgreSQL skips rows that another transaction has locked, and SQLite allows one writing
transaction at a time. Calls block.
"""

import json
import secrets
import zlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    and_,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from service.dicom_results import archive
from service.errors import KeyReused
from service.jobs.job import (
    Claim,
    Completion,
    Item,
    ItemAnswer,
    ItemState,
    Job,
    JobQuery,
    NewJob,
    Piece,
)
from service.jobs.storage import queries
from service.jobs.storage.schema import items, jobs, results
from service.storage.database import Database, now

MAX_DELAY_S = 60.0
"""Longest delay of an item that is tried again."""
_SLACK_S = 5.0
"""Difference of the clock that is no jump."""
_OPEN = (ItemState.QUEUED, ItemState.RUNNING)


class Store:
    """Jobs and their items in a database. Safe to call from several threads and processes.

    Args:
        database: database of the jobs.
        lease_s: seconds until a claim ends unless it is renewed.
        keep_s: seconds that a finished job is kept.
    """

    def __init__(self, database: Database, lease_s: float, keep_s: float) -> None:
        self._database = database
        self.lease_s = lease_s
        self._keep_s = keep_s

    def prepare(self) -> None:
        """Connect and create the tables.

        Raises:
            JobsUnavailable: the database does not answer, or has the schema of a newer release.
        """
        self._database.open()

    @property
    def remote(self) -> bool:
        """Return whether a transaction that failed may have been committed by a server."""
        return self._database.remote

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    # Jobs as clients see them.

    def accept(self, new: NewJob) -> Job:
        """Store a job, or return the one that the same key and request created before.

        Raises:
            KeyReused: the key was used with another request.
            JobsUnavailable: the database does not answer; the job may or may not be stored.
        """
        try:
            with self._database.write() as connection:
                _insert(connection, new, now(connection))
                return queries.job(connection, jobs.c.id == new.id)
        except IntegrityError:
            before = self.by_key(new.key) if new.key is not None else None
            if before is None:
                raise
            if before.fingerprint != new.fingerprint:
                raise KeyReused("the Idempotency-Key was used with another request") from None
            return before

    def job(self, job: str) -> Job:
        """Return one job.

        Raises:
            JobNotFound: there is no such job.
        """
        with self._database.read() as connection:
            return queries.job(connection, jobs.c.id == job)

    def by_key(self, key: str) -> Job | None:
        """Return the job that was created with an idempotency key, given by its digest."""
        with self._database.read() as connection:
            found = queries.jobs_where(connection, jobs.c.idempotency_key == key, limit=1)
        return found[0] if found else None

    def owner(self, job: str) -> str | None:
        """Return the owner of a job, None for a job of an anonymous client.

        Raises:
            JobNotFound: there is no such job.
        """
        with self._database.read() as connection:
            return queries.owner(connection, job)

    def latest(self, limit: int, owner: str | None = None) -> list[Job]:
        """Return the latest jobs of an owner, or of anonymous clients, newest first."""
        with self._database.read() as connection:
            return queries.jobs_where(connection, jobs.c.owner.is_not_distinct_from(owner), limit)

    def items(
        self, job: str, after: int, limit: int, state: ItemState | None, *, answers: bool = False
    ) -> list[Item]:
        """Return items of a job in order.

        Args:
            job: identifier of the job.
            after: number of the item after which to begin; 0 begins at the first one.
            limit: largest number of items.
            state: return only items in this state.
            answers: return only items in a final state, with their answers.

        Raises:
            JobNotFound: there is no such job.
        """
        with self._database.read() as connection:
            return queries.items_of(connection, job, after, limit, state, answers=answers)

    def overlay(self, job: str, number: int) -> bytes | None:
        """Return the PNG overlay of one item, or None if none was kept."""
        return self._kept(results.c.overlay, job, number)

    def objects(self, job: str, number: int) -> bytes | None:
        """Return the zip file of the DICOM objects of one item, or None if none were kept."""
        return self._kept(results.c.objects, job, number)

    def _kept(self, column: Column[Any], job: str, number: int) -> bytes | None:
        statement = select(column).where(results.c.job == job, results.c.number == number)
        with self._database.read() as connection:
            data: bytes | None = connection.execute(statement).scalar()
        return data

    def has(self, job: str) -> bool:
        """Return whether a job is stored."""
        with self._database.read() as connection:
            return connection.execute(select(jobs.c.id).where(jobs.c.id == job)).first() is not None

    def open_jobs(self) -> set[str]:
        """Return the identifiers of the jobs of which items still have to be answered."""
        statement = select(jobs.c.id).where(jobs.c.finished.is_(None))
        with self._database.read() as connection:
            return set(connection.execute(statement).scalars())

    def now(self) -> float:
        """Return seconds since 1970 by the clock of the database."""
        with self._database.read() as connection:
            return now(connection)

    def delete(self, job: str) -> int | None:
        """Delete a job with all its answers; answers that arrive later are dropped.

        Returns:
            Number of its items, or None if there was no such job.
        """
        with self._database.write() as connection:
            count = connection.execute(select(func.count()).where(items.c.job == job)).scalar_one()
            deleted = connection.execute(delete(jobs).where(jobs.c.id == job)).rowcount
        return int(count) if deleted else None

    def expired(self) -> list[str]:
        """Return the identifiers of expired jobs."""
        with self._database.read() as connection:
            statement = select(jobs.c.id).where(jobs.c.expires < now(connection))
            return list(connection.execute(statement).scalars())

    # Items as workers see them.

    def claim(self) -> Claim | None:
        """Claim the next item for this caller alone; jobs take turns.

        An item that is due later than any delay could ask for is due now, and a job whose latest
        turn is still to come had it long ago: the clock was set back.

        Returns:
            The claim, or None if no item is due.
        """
        with self._database.read() as connection:
            at = now(connection)
            turn = case((jobs.c.served > at, 0.0), else_=jobs.c.served)
            unfinished = select(jobs.c.id).where(jobs.c.finished.is_(None)).order_by(turn)
            names = list(connection.execute(unfinished).scalars())
        for job in names:
            claim = self._claim_of(job)
            if claim is not None:
                self._touch(job)
                return claim
        return None

    def _claim_of(self, job: str) -> Claim | None:
        with self._database.write() as connection:
            at = now(connection)
            due_item = (
                select(items, jobs.c.question, jobs.c.owner)
                .join(jobs, jobs.c.id == items.c.job)
                .where(items.c.job == job, items.c.state.in_(_OPEN), self._is_due(at))
                .order_by(items.c.number)
                .limit(1)
                .with_for_update(skip_locked=True, of=items)
            )
            row = connection.execute(due_item).mappings().first()
            if row is None:
                return None
            claim = _claim(row, secrets.token_hex(16))
            connection.execute(
                update(items)
                .where(_is(claim))
                .values(
                    state=ItemState.RUNNING,
                    token=claim.token,
                    attempts=claim.attempt,
                    due=at + self.lease_s,
                    started=func.coalesce(items.c.started, at),
                )
            )
        return claim

    def _is_due(self, at: float) -> ColumnElement[bool]:
        """Match items that are queued for now or whose lease has ended."""
        longest_s = case(
            (items.c.state == ItemState.QUEUED, MAX_DELAY_S),
            else_=self.lease_s,
        )
        return or_(items.c.due <= at, items.c.due > at + longest_s + _SLACK_S)

    def _touch(self, job: str) -> None:
        """Record the turn of a job, in its own transaction: a claim must not wait for it."""
        with self._database.write() as connection:
            at = now(connection)
            started = func.coalesce(jobs.c.started, at)
            connection.execute(
                update(jobs).where(jobs.c.id == job).values(served=at, started=started)
            )

    def renew(self, claims: list[Claim]) -> None:
        """Extend the leases of claims."""
        with self._database.write() as connection:
            due = now(connection) + self.lease_s
            for claim in claims:
                connection.execute(update(items).where(_leased(claim)).values(due=due))

    def succeed(self, claim: Claim, answer: ItemAnswer) -> Completion:
        """Store the answer to an item; it is dropped if the lease was lost or the job deleted."""
        values = {
            "json": zlib.compress(answer.json, 1),
            "overlay": answer.overlay,
            "objects": archive.pack(answer.objects) if answer.objects else None,
        }
        with self._database.write() as connection:
            _lock(connection, claim.job)
            completion = self._finish(connection, claim, ItemState.SUCCEEDED, sha256=answer.sha256)
            if completion.item:
                connection.execute(
                    insert(results).values(job=claim.job, number=claim.number, **values)
                )
        return completion

    def fail(self, claim: Claim, problem: Mapping[str, Any], sha256: str | None) -> Completion:
        """Store the reason why an item has no answer; dropped as in `succeed`."""
        with self._database.write() as connection:
            _lock(connection, claim.job)
            text = json.dumps(problem)
            return self._finish(connection, claim, ItemState.FAILED, problem=text, sha256=sha256)

    def retry(self, claim: Claim, delay_s: float) -> None:
        """Queue an item again, to be claimed after a delay of at most `MAX_DELAY_S`."""
        with self._database.write() as connection:
            connection.execute(
                update(items)
                .where(_leased(claim))
                .values(state=ItemState.QUEUED, token=None, due=now(connection) + delay_s)
            )

    def release(self, claim: Claim) -> None:
        """Queue an item again as if it had not been claimed."""
        with self._database.write() as connection:
            connection.execute(
                update(items)
                .where(_leased(claim))
                .values(
                    state=ItemState.QUEUED,
                    token=None,
                    due=now(connection),
                    attempts=items.c.attempts - 1,
                )
            )

    def _finish(
        self, connection: Connection, claim: Claim, state: ItemState, **values: Any
    ) -> Completion:
        """Finish an item, and its job with the last item; the row of the job must be locked."""
        at = now(connection)
        final = update(items).where(_leased(claim)).values(state=state, finished=at, token=None)
        if connection.execute(final.values(**values)).rowcount != 1:
            return Completion(item=False)
        unfinished = select(items.c.number).where(
            items.c.job == claim.job, items.c.state.in_(_OPEN)
        )
        last = connection.execute(unfinished.limit(1)).first() is None
        if last:
            times = {"finished": at, "expires": at + self._keep_s}
            connection.execute(update(jobs).where(jobs.c.id == claim.job).values(**times))
        return Completion(item=True, job=last)


def _insert(connection: Connection, new: NewJob, at: float) -> None:
    connection.execute(
        insert(jobs).values(
            id=new.id,
            idempotency_key=new.key,
            owner=new.owner,
            fingerprint=new.fingerprint,
            question=new.query.model_dump_json(),
            skipped=json.dumps(dict(new.contents.skipped)),
            created=at,
            served=at,
        )
    )
    rows = [
        {
            "job": new.id,
            "number": number,
            "state": ItemState.QUEUED,
            "attempts": 0,
            "due": at,
            **{name: getattr(piece, name) for name in Piece.__dataclass_fields__},
        }
        for number, piece in enumerate(new.contents.pieces, 1)
    ]
    connection.execute(insert(items), rows)


def _claim(row: Mapping[Any, Any], token: str) -> Claim:
    return Claim(
        job=row["job"],
        number=row["number"],
        token=token,
        attempt=row["attempts"] + 1,
        piece=Piece(**{name: row[name] for name in Piece.__dataclass_fields__}),
        query=JobQuery.model_validate_json(row["question"]),
        owner=row["owner"],
    )


def _is(claim: Claim) -> ColumnElement[bool]:
    return and_(items.c.job == claim.job, items.c.number == claim.number)


def _leased(claim: Claim) -> ColumnElement[bool]:
    """Match the item while the claim holds its lease."""
    return and_(_is(claim), items.c.token == claim.token)


def _lock(connection: Connection, job: str) -> None:
    """Lock the row of a job, so that of two items that finish at once one is the last."""
    connection.execute(select(jobs.c.id).where(jobs.c.id == job).with_for_update())
