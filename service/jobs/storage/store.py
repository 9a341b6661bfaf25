"""Store: accepts jobs, hands out items under leases, takes each answer once.

    accept -> queued --claim--> running --succeed | fail--> final --last one--> finished
                 ^------ retry, release, lease ended ------'

A lease is a token and a time. Whoever answers must hold the token, so that a process that was
believed lost cannot answer a second time. Two processes never claim the same item: PostgreSQL
skips rows that another one locks, SQLite lets one transaction write at a time. Calls block.
"""

import json
import secrets
import zlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from service.errors import KeyReused
from service.jobs.job import Answer, Claim, Item, ItemState, Job, JobQuestion, NewJob, Piece, Taken
from service.jobs.storage import queries
from service.jobs.storage.database import Database, now
from service.jobs.storage.schema import items, jobs, results

_OPEN = (ItemState.QUEUED, ItemState.RUNNING)


class Store:
    """Jobs and their items in a database. Safe to call from several threads and processes.

    Args:
        database: where they lie.
        lease_s: how long a claim holds unless it is renewed.
        keep_s: how long a finished job is kept.
    """

    def __init__(self, database: Database, lease_s: float, keep_s: float) -> None:
        self._database = database
        self.lease_s = lease_s
        self._keep_s = keep_s

    def prepare(self) -> None:
        """Connect.

        Raises:
            JobsUnavailable: the database does not answer, or is of a newer program.
        """
        self._database.prepare()

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    # intake

    def accept(self, new: NewJob) -> Job:
        """Take a job, or give the one that the same key and request made before.

        Raises:
            KeyReused: the key belongs to another request.
            JobsUnavailable: the database does not answer; the job may or may not be in it.
        """
        try:
            with self._database.write() as connection:
                _insert(connection, new, now(connection))
        except IntegrityError:
            before = self.by_key(new.key) if new.key is not None else None
            if before is None:
                raise
            if before.fingerprint != new.fingerprint:
                raise KeyReused("the Idempotency-Key came with another request before") from None
            return before
        return self.job(new.id)

    def job(self, job: str) -> Job:
        """One job.

        Raises:
            JobNotFound: there is none.
        """
        with self._database.read() as connection:
            return queries.job(connection, jobs.c.id == job)

    def by_key(self, key: str) -> Job | None:
        """The job that was made with an idempotency key."""
        with self._database.read() as connection:
            found = queries.jobs_where(connection, jobs.c.idempotency_key == key, limit=1)
        return found[0] if found else None

    def latest(self, limit: int) -> list[Job]:
        """The jobs accepted last, the newest first."""
        with self._database.read() as connection:
            return queries.jobs_where(connection, None, limit)

    def items(
        self, job: str, after: int, limit: int, state: ItemState | None, *, answers: bool = False
    ) -> list[Item]:
        """Items of a job in order, those behind number `after`.

        Args:
            job: whose.
            after: number of the last item that was seen, 0 from the beginning.
            limit: how many.
            state: only these.
            answers: those that are final alone, with their answers.

        Raises:
            JobNotFound: there is no such job.
        """
        with self._database.read() as connection:
            return queries.items_of(connection, job, after, limit, state, answers=answers)

    def overlay(self, job: str, number: int) -> bytes | None:
        """The picture of one item, when one was kept."""
        found = select(results.c.overlay).where(results.c.job == job, results.c.number == number)
        with self._database.read() as connection:
            data: bytes | None = connection.execute(found).scalar()
        return data

    def is_open(self, job: str) -> bool:
        """Whether items of a job still have to be answered."""
        found = select(jobs.c.id).where(jobs.c.id == job, jobs.c.finished.is_(None))
        with self._database.read() as connection:
            return connection.execute(found).first() is not None

    def delete(self, job: str) -> int | None:
        """Forget a job with all its answers; those still awaited will not be taken.

        Returns:
            How many items it had, or None where there was no such job.
        """
        with self._database.write() as connection:
            count = connection.execute(select(func.count()).where(items.c.job == job)).scalar_one()
            gone = connection.execute(delete(jobs).where(jobs.c.id == job)).rowcount
        return int(count) if gone else None

    def expired(self) -> list[str]:
        """Jobs whose time is over."""
        with self._database.read() as connection:
            over = select(jobs.c.id).where(jobs.c.expires < now(connection))
            return list(connection.execute(over).scalars())

    # work

    def claim(self) -> Claim | None:
        """Take the next item for this caller alone; jobs take turns.

        Returns:
            The claim, or None where nothing is to be done now.
        """
        with self._database.read() as connection:
            turn = select(jobs.c.id).where(jobs.c.finished.is_(None)).order_by(jobs.c.served)
            waiting = list(connection.execute(turn).scalars())
        for job in waiting:
            claim = self._claim_of(job)
            if claim is not None:
                self._touch(job)
                return claim
        return None

    def _claim_of(self, job: str) -> Claim | None:
        with self._database.write() as connection:
            at = now(connection)
            free = (
                select(items, jobs.c.question)
                .join(jobs, jobs.c.id == items.c.job)
                .where(items.c.job == job, items.c.state.in_(_OPEN), items.c.due <= at)
                .order_by(items.c.number)
                .limit(1)
                .with_for_update(skip_locked=True, of=items)
            )
            row = connection.execute(free).mappings().first()
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

    def _touch(self, job: str) -> None:
        """The job had its turn. A transaction of its own: a claim waits for no other process."""
        with self._database.write() as connection:
            at = now(connection)
            started = func.coalesce(jobs.c.started, at)
            connection.execute(
                update(jobs).where(jobs.c.id == job).values(served=at, started=started)
            )

    def renew(self, claims: list[Claim]) -> None:
        """Go on holding claims whose work takes long."""
        with self._database.write() as connection:
            due = now(connection) + self.lease_s
            for claim in claims:
                connection.execute(update(items).where(_held(claim)).values(due=due))

    def succeed(self, claim: Claim, answer: Answer) -> Taken:
        """Keep an answer.

        Returns:
            Whether it was taken: not when the lease was lost or the job is gone.
        """
        kept = {"json": zlib.compress(answer.json, 1), "overlay": answer.overlay}
        with self._database.write() as connection:
            _lock(connection, claim.job)
            taken = self._finish(connection, claim, ItemState.SUCCEEDED, sha256=answer.sha256)
            if taken.item:
                connection.execute(
                    insert(results).values(job=claim.job, number=claim.number, **kept)
                )
        return taken

    def fail(self, claim: Claim, problem: Mapping[str, Any], sha256: str | None) -> Taken:
        """Keep why an item has no answer.

        Returns:
            Whether it was taken.
        """
        with self._database.write() as connection:
            _lock(connection, claim.job)
            text = json.dumps(problem)
            return self._finish(connection, claim, ItemState.FAILED, problem=text, sha256=sha256)

    def retry(self, claim: Claim, wait_s: float) -> None:
        """Give an item back, to be tried again after a while."""
        with self._database.write() as connection:
            connection.execute(
                update(items)
                .where(_held(claim))
                .values(state=ItemState.QUEUED, token=None, due=now(connection) + wait_s)
            )

    def release(self, claim: Claim) -> None:
        """Give an item back as if it had not been claimed."""
        with self._database.write() as connection:
            connection.execute(
                update(items)
                .where(_held(claim))
                .values(
                    state=ItemState.QUEUED,
                    token=None,
                    due=now(connection),
                    attempts=items.c.attempts - 1,
                )
            )

    def _finish(
        self, connection: Connection, claim: Claim, state: ItemState, **values: Any
    ) -> Taken:
        """Make an item final, and its job when it was the last; the job's row is locked."""
        at = now(connection)
        final = update(items).where(_held(claim)).values(state=state, finished=at, token=None)
        if connection.execute(final.values(**values)).rowcount != 1:
            return Taken(item=False)
        still = select(items.c.number).where(items.c.job == claim.job, items.c.state.in_(_OPEN))
        last = connection.execute(still.limit(1)).first() is None
        if last:
            over = {"finished": at, "expires": at + self._keep_s}
            connection.execute(update(jobs).where(jobs.c.id == claim.job).values(**over))
        return Taken(item=True, job=last)


def _insert(connection: Connection, new: NewJob, at: float) -> None:
    connection.execute(
        insert(jobs).values(
            id=new.id,
            idempotency_key=new.key,
            fingerprint=new.fingerprint,
            question=new.question.model_dump_json(),
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
        question=JobQuestion.model_validate_json(row["question"]),
    )


def _is(claim: Claim) -> ColumnElement[bool]:
    return and_(items.c.job == claim.job, items.c.number == claim.number)


def _held(claim: Claim) -> ColumnElement[bool]:
    """The item, as long as the claim is the one that holds it."""
    return and_(_is(claim), items.c.token == claim.token)


def _lock(connection: Connection, job: str) -> None:
    """Let the last two items of a job finish one after the other, so that one sees the end."""
    connection.execute(select(jobs.c.id).where(jobs.c.id == job).with_for_update())
