"""Journal: what was received, what was made of it, and what was delivered. One SQLite database.

    add --> next_instance --> finish | suppress | retry | bury --> outbox

Each call is one transaction, which is on disk before the call returns. After a crash, whatever was
not recorded is done again: an instance is analysed again, which makes the same objects. Calls
block.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from service.gateway.errors import GatewayUnavailable
from service.gateway.rules.instance import Instance
from service.gateway.storage.outbox import queue
from service.gateway.storage.records import (
    OPEN_WORKITEMS,
    Counts,
    DeadLetter,
    DeliveryState,
    InstanceState,
    Outgoing,
    QueuedInstance,
    WorkitemState,
)
from service.gateway.storage.schema import (
    PURPOSE,
    deliveries,
    inputs,
    instances,
    results,
    workitems,
)
from service.storage.database import Database

SERVICE = "service"
"""Place of the dead letters that the service refused."""
CANCELED = "canceled"
"""Reason of an instance that gets no results because its workitem was canceled."""
_CONNECTIONS = 16
_FILE = "journal.sqlite"
_OPEN_DELIVERIES = (DeliveryState.QUEUED, DeliveryState.SENT, DeliveryState.DEAD)
_OPEN_INSTANCES = (InstanceState.QUEUED, InstanceState.DEAD)


def journal_database(folder: Path) -> Database:
    """Return the database of the journal in the folder of a gateway; it is not opened yet."""
    return Database(f"sqlite:///{folder / _FILE}", _CONNECTIONS, PURPOSE)


@contextmanager
def opened_journal(folder: Path) -> Iterator["Journal"]:
    """Open the journal of a gateway, which may be running.

    Raises:
        GatewayUnavailable: there is none, or it cannot be read.
    """
    if not (folder / _FILE).exists():
        raise GatewayUnavailable(f"{folder} has no journal; has the gateway run with this file?")
    database = journal_database(folder)
    try:
        yield Journal(database)
    finally:
        database.close()


class Journal:
    """Received instances, and what became of them. Safe to call from several threads.

    Args:
        database: database of the journal.
    """

    def __init__(self, database: Database) -> None:
        self.database = self._database = database

    def knows(self, instance: Instance) -> bool:
        """Return whether an instance with this UID and content was recorded before."""
        with self._database.read() as connection:
            found = connection.execute(
                select(instances.c.id).where(_is(instance), _is_not_canceled())
            )
            return found.first() is not None

    def number_of(self, instance: Instance) -> int | None:
        """Return the number of an instance with this UID and content, or None."""
        with self._database.read() as connection:
            return connection.execute(select(instances.c.id).where(_is(instance))).scalar()

    def is_own_result(self, sop_instance_uid: str) -> bool:
        """Return whether the gateway has sent, or is to send, an object with this UID."""
        with self._database.read() as connection:
            found = connection.execute(
                select(results.c.id).where(results.c.sop_instance_uid == sop_instance_uid)
            )
            return found.first() is not None

    def add(self, instance: Instance, rule: str, suppressed_by: str | None = None) -> bool:
        """Record an instance; return False if it was recorded before.

        Args:
            instance: the instance, whose file is in the spool unless it is suppressed.
            rule: name of the rule that takes it.
            suppressed_by: warning that suppresses its results, or None.
        """
        now = time.time()
        state = InstanceState.SUPPRESSED if suppressed_by else InstanceState.QUEUED
        values = {
            "sop_instance_uid": instance.sop_instance_uid,
            "digest": instance.digest,
            "rule": rule,
            "state": state,
            "attempts": 0,
            "due": now,
            "received": now,
            "finished": now if suppressed_by else None,
            "reason": suppressed_by,
        }
        with self._database.write() as connection:
            added = connection.execute(
                sqlite_insert(instances)
                .values(values)
                .on_conflict_do_update(  # one that was canceled is wanted after all
                    index_elements=["sop_instance_uid", "digest"],
                    set_=values,
                    where=instances.c.reason == CANCELED,
                )
            )
            return added.rowcount == 1

    def next_instance(self, claimed: Iterable[int], now: float) -> QueuedInstance | None:
        """Return the instance that has waited longest and is due, or None.

        Args:
            claimed: numbers of instances that are being worked on.
            now: time in seconds since 1970.
        """
        columns = (instances.c.id, instances.c.digest, instances.c.rule, instances.c.attempts)
        with self._database.read() as connection:
            row = connection.execute(
                select(*columns)
                .where(
                    instances.c.state == InstanceState.QUEUED,
                    instances.c.due <= now,
                    instances.c.id.not_in(list(claimed)),
                )
                .order_by(instances.c.due, instances.c.id)
                .limit(1)
            ).first()
        return None if row is None else QueuedInstance(*row)

    def finish(self, number: int, made: Sequence[Outgoing]) -> bool:
        """Record the results of an instance, and queue them for their peers.

        A result that a peer has, or is to get, already is not delivered a second time. Nothing is
        recorded about an instance that is no longer queued, because it was canceled meanwhile.

        Returns:
            Whether it was still queued.

        Raises:
            ResultConflict: a result has the UID of an earlier one, but other content.
        """
        now = time.time()
        with self._database.write() as connection:
            state = connection.execute(select(instances.c.state).where(instances.c.id == number))
            if state.scalar() != InstanceState.QUEUED:
                return False
            queue(connection, number, made, now)
            _set_instance(connection, number, InstanceState.DONE, now)
            return True

    def suppress(self, number: int, reason: str) -> None:
        """Record that an instance gets no results."""
        with self._database.write() as connection:
            _set_instance(connection, number, InstanceState.SUPPRESSED, time.time(), reason)

    def retry(self, number: int, due: float, reason: str, *, counted: bool) -> None:
        """Record that an instance is to be tried again; `counted` if the attempt counts."""
        with self._database.write() as connection:
            connection.execute(
                update(instances)
                .where(instances.c.id == number)
                .values(due=due, reason=reason, attempts=instances.c.attempts + int(counted))
            )

    def bury(self, number: int, reason: str) -> None:
        """Record that an instance was given up."""
        with self._database.write() as connection:
            _set_instance(connection, number, InstanceState.DEAD, time.time(), reason)

    def counts(self) -> Counts:
        """Return the numbers of instances, deliveries and workitems by state."""
        with self._database.read() as connection:
            by_state = select(instances.c.state, func.count()).group_by(instances.c.state)
            by_peer = select(deliveries.c.peer, deliveries.c.state, func.count()).group_by(
                deliveries.c.peer, deliveries.c.state
            )
            by_worklist = select(workitems.c.worklist, workitems.c.state, func.count()).group_by(
                workitems.c.worklist, workitems.c.state
            )
            return Counts(
                instances={row[0]: row[1] for row in connection.execute(by_state)},
                deliveries={
                    (peer, state): count for peer, state, count in connection.execute(by_peer)
                },
                workitems={
                    (worklist, state): count
                    for worklist, state, count in connection.execute(by_worklist)
                },
            )

    def dead_letters(self) -> list[DeadLetter]:
        """Return what was given up: instances, deliveries, workitems."""
        received = select(
            literal(SERVICE), instances.c.id, instances.c.reason, instances.c.attempts
        ).where(instances.c.state == InstanceState.DEAD)
        outputs = select(
            deliveries.c.peer, deliveries.c.id, deliveries.c.reason, deliveries.c.attempts
        ).where(deliveries.c.state == DeliveryState.DEAD)
        ordered = select(
            workitems.c.worklist, workitems.c.id, workitems.c.failure, workitems.c.attempts
        ).where(workitems.c.state == WorkitemState.DEAD)
        with self._database.read() as connection:
            kinds = (received, outputs, ordered)
            rows = [row for kind in kinds for row in connection.execute(kind)]
        return [
            DeadLetter(place, number, reason or "", tries) for place, number, reason, tries in rows
        ]

    def revive(self, letters: Iterable[DeadLetter]) -> None:
        """Queue dead letters again, with all their attempts before them."""
        now = time.time()
        again: dict[str, object] = {"attempts": 0, "due": now}
        with self._database.write() as connection:
            worklists = set(connection.execute(select(workitems.c.worklist).distinct()).scalars())
            for letter in letters:
                values: dict[str, object]
                if letter.place == SERVICE:
                    table, values = instances, {"state": "queued", "finished": None}
                elif letter.place in worklists:
                    table, values = workitems, {"state": workitems.c.resume, "refusals": 0}
                else:
                    table, values = deliveries, {"state": "queued", "refusals": 0}
                connection.execute(
                    update(table)
                    .where(table.c.id == letter.number, table.c.state == "dead")
                    .values(again | values)
                )

    def needed_files(self) -> set[tuple[str, str]]:
        """Return kind and digest of every file in the spool that is still needed."""
        received = select(literal("inputs"), instances.c.digest).where(
            instances.c.state.in_(_OPEN_INSTANCES)
        )
        undelivered = (
            select(results.c.digest, results.c.fallback)
            .join(deliveries, deliveries.c.result == results.c.id)
            .where(deliveries.c.state.in_(_OPEN_DELIVERIES))
        )
        with self._database.read() as connection:
            found = {(kind, digest) for kind, digest in connection.execute(received)}
            rows = connection.execute(undelivered).all()
            fallbacks = {row.fallback for row in rows} - {None}
            needed = select(results.c.digest).where(results.c.sop_instance_uid.in_(fallbacks))
            digests = {row.digest for row in rows} | set(connection.execute(needed).scalars())
        return found | {("results", digest) for digest in digests}

    def forget(self, before: float) -> int:
        """Remove instances that were finished before a time and delivered; return how many."""
        undelivered = (
            select(results.c.instance)
            .join(deliveries, deliveries.c.result == results.c.id)
            .where(deliveries.c.state.in_(_OPEN_DELIVERIES))
        )
        awaited = (
            select(inputs.c.instance)
            .join(workitems, workitems.c.id == inputs.c.workitem)
            .where(workitems.c.state.in_((*OPEN_WORKITEMS, WorkitemState.DEAD)))
        )
        with self._database.write() as connection:
            connection.execute(
                delete(workitems).where(
                    workitems.c.finished < before,
                    workitems.c.state.not_in((*OPEN_WORKITEMS, WorkitemState.DEAD)),
                )
            )
            removed = connection.execute(
                delete(instances).where(
                    instances.c.finished < before,
                    instances.c.state.in_((InstanceState.DONE, InstanceState.SUPPRESSED)),
                    instances.c.id.not_in(undelivered),
                    instances.c.id.not_in(awaited),
                )
            )
            return removed.rowcount


def _is(instance: Instance) -> ColumnElement[bool]:
    return and_(
        instances.c.sop_instance_uid == instance.sop_instance_uid,
        instances.c.digest == instance.digest,
    )


def _is_not_canceled() -> ColumnElement[bool]:
    return or_(instances.c.reason.is_(None), instances.c.reason != CANCELED)


def _set_instance(
    connection: Connection, number: int, state: str, now: float, reason: str | None = None
) -> None:
    connection.execute(
        update(instances)
        .where(instances.c.id == number)
        .values(state=state, finished=now, reason=reason)
    )
