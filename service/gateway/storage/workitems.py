"""Workitems: what the gateway has claimed from worklists, in the database of the journal.

    record --> open --> advance | retry | bury          link: instances of a workitem
                    --> progress, outputs, cancel       of its instances and their results

A claim is recorded with its Transaction UID before the worklist is asked for it, so that a claim
whose answer was lost is still ours after a crash. Calls block.
"""

import time
from collections.abc import Iterable
from dataclasses import fields

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.sqlite import insert

from service.gateway.storage.journal import CANCELED
from service.gateway.storage.outbox import REPLACED
from service.gateway.storage.records import (
    OPEN_WORKITEMS,
    DeliveryState,
    InstanceState,
    OpenWorkitem,
    Output,
    ResultObject,
    WorkitemProgress,
    WorkitemState,
)
from service.gateway.storage.schema import deliveries, inputs, instances, made, results, workitems
from service.storage.database import Database

_WORKITEM = [
    workitems.c.id,
    workitems.c.uid,
    workitems.c.transaction,
    workitems.c.procedure,
    workitems.c.state,
    workitems.c.attempts,
    workitems.c.refusals,
    workitems.c.recorded,
    workitems.c.started,
    workitems.c.ended,
    workitems.c.reported,
    workitems.c.cancel_requested,
    workitems.c.reason,
]


class Workitems:
    """Workitems of one worklist. Safe to call from several threads.

    Args:
        database: database of the journal.
        worklist: name of the worklist.
    """

    def __init__(self, database: Database, worklist: str) -> None:
        self._database = database
        self._worklist = worklist

    def record(self, uid: str, transaction: str, procedure: str) -> bool:
        """Record that a workitem is about to be claimed; return False if it was recorded before."""
        now = time.time()
        values = {
            "worklist": self._worklist,
            "uid": uid,
            "transaction": transaction,
            "procedure": procedure,
            "state": WorkitemState.CLAIMING,
            "attempts": 0,
            "refusals": 0,
            "due": now,
            "recorded": now,
            "reported": -1,
            "cancel_requested": False,
        }
        with self._database.write() as connection:
            added = connection.execute(insert(workitems).values(values).on_conflict_do_nothing())
            return added.rowcount == 1

    def known(self, uids: Iterable[str]) -> set[str]:
        """Return those UIDs that were recorded before."""
        with self._database.read() as connection:
            found = connection.execute(
                select(workitems.c.uid).where(
                    workitems.c.worklist == self._worklist, workitems.c.uid.in_(list(uids))
                )
            )
            return set(found.scalars())

    def open(self) -> list[OpenWorkitem]:
        """Return the workitems for which there is something to do, now or later."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(*_WORKITEM)
                .where(
                    workitems.c.worklist == self._worklist, workitems.c.state.in_(OPEN_WORKITEMS)
                )
                .order_by(workitems.c.id)
            )
            return [OpenWorkitem(*row) for row in rows]

    def due(self, now: float) -> list[OpenWorkitem]:
        """Return the workitems for which there is something to do now."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(*_WORKITEM)
                .where(
                    workitems.c.worklist == self._worklist,
                    workitems.c.state.in_(OPEN_WORKITEMS),
                    workitems.c.due <= now,
                )
                .order_by(workitems.c.due, workitems.c.id)
            )
            return [OpenWorkitem(*row) for row in rows]

    def advance(self, number: int, state: WorkitemState, reason: str | None = None) -> None:
        """Record a new state, in which all attempts are still to be made."""
        now = time.time()
        values: dict[str, object] = {
            "state": state,
            "reason": reason,
            "attempts": 0,
            "refusals": 0,
            "due": now,
        }
        match state:
            case WorkitemState.CLAIMED:
                values["started"] = now
            case WorkitemState.COMPLETING | WorkitemState.CANCELING:
                values["ended"] = now
            case WorkitemState.COMPLETED | WorkitemState.CANCELED | WorkitemState.LOST:
                values["finished"] = now
        self._set(number, values)

    def wait(self, number: int, due: float) -> None:
        """Record that a step succeeded, and that there is nothing to do until a time."""
        self._set(number, {"due": due, "attempts": 0, "refusals": 0})

    def retry(self, number: int, due: float, reason: str, *, refused: bool) -> None:
        """Record that an attempt failed, and when the next one is due."""
        values: dict[str, object] = {
            "due": due,
            "attempts": workitems.c.attempts + 1,
            "refusals": workitems.c.refusals + int(refused),
        }
        self._set(number, values | {"failure": reason})

    def bury(self, number: int, reason: str) -> None:
        """Record that a workitem was given up, in the state that it has."""
        values: dict[str, object] = {
            "resume": workitems.c.state,
            "state": WorkitemState.DEAD,
            "failure": reason,
        }
        self._set(number, values)

    def report(self, number: int, percent: int) -> None:
        """Record the progress that the worklist was told."""
        self._set(number, {"reported": percent})

    def request_cancel(self, uid: str) -> bool:
        """Record that somebody asked for the cancellation; return False if nothing is open."""
        with self._database.write() as connection:
            changed = connection.execute(
                update(workitems)
                .where(
                    workitems.c.worklist == self._worklist,
                    workitems.c.uid == uid,
                    workitems.c.state.in_((WorkitemState.CLAIMED, WorkitemState.PERFORMING)),
                )
                .values(cancel_requested=True, due=time.time())
            )
            return changed.rowcount == 1

    def link(self, number: int, instance: int, *, only: bool) -> None:
        """Record that an instance belongs to a workitem.

        Args:
            number: number of the workitem.
            instance: number of the instance.
            only: the instance was received for this workitem alone.
        """
        with self._database.write() as connection:
            connection.execute(
                insert(inputs)
                .values(workitem=number, instance=instance, only=only)
                .on_conflict_do_nothing()
            )

    def progress(self, number: int) -> WorkitemProgress:
        """Return the progress of the work on a workitem."""
        mine = inputs.c.workitem == number
        with self._database.read() as connection:
            by_state = connection.execute(
                select(instances.c.state, func.count())
                .join(inputs, inputs.c.instance == instances.c.id)
                .where(mine)
                .group_by(instances.c.state)
            )
            counts = {str(row[0]): int(row[1]) for row in by_state}
            by_delivery = connection.execute(
                select(deliveries.c.state, func.count())
                .join(made, made.c.result == deliveries.c.result)
                .join(inputs, inputs.c.instance == made.c.instance)
                .where(mine)
                .group_by(deliveries.c.state)
            )
            sent = {str(row[0]): int(row[1]) for row in by_delivery}
            canceled = connection.execute(
                select(func.count())
                .select_from(instances)
                .join(inputs, inputs.c.instance == instances.c.id)
                .where(mine, instances.c.reason == CANCELED)
            ).scalar_one()
        return WorkitemProgress(counts, sent, int(canceled))

    def cancel(self, number: int) -> int:
        """Drop what still waits for the service on behalf of this workitem alone; return how much.

        An instance that came from a peer too, or belongs to another workitem, is left.
        """
        others = select(inputs.c.instance).where(inputs.c.workitem != number)
        mine = select(inputs.c.instance).where(inputs.c.workitem == number, inputs.c.only)
        with self._database.write() as connection:
            changed = connection.execute(
                update(instances)
                .where(
                    instances.c.id.in_(mine),
                    instances.c.id.not_in(others),
                    instances.c.state == InstanceState.QUEUED,
                )
                .values(state=InstanceState.SUPPRESSED, reason=CANCELED, finished=time.time())
            )
            return changed.rowcount

    def reasons(self, number: int) -> list[str]:
        """Return the reasons for which instances of a workitem have no results."""
        with self._database.read() as connection:
            found = connection.execute(
                select(instances.c.reason)
                .join(inputs, inputs.c.instance == instances.c.id)
                .where(inputs.c.workitem == number, instances.c.state != InstanceState.DONE)
                .order_by(instances.c.id)
            )
            return [reason for reason in found.scalars() if reason]

    def outputs(self, number: int) -> list[Output]:
        """Return the results of a workitem that peers have, once for each peer."""
        columns = [results.c[field.name] for field in fields(ResultObject)]
        with self._database.read() as connection:
            rows = connection.execute(
                select(deliveries.c.peer, *columns)
                .join(results, results.c.id == deliveries.c.result)
                .join(made, made.c.result == results.c.id)
                .join(inputs, inputs.c.instance == made.c.instance)
                .where(
                    inputs.c.workitem == number,
                    deliveries.c.state == DeliveryState.DONE,
                    or_(deliveries.c.reason.is_(None), deliveries.c.reason != REPLACED),
                )
                .distinct()
                .order_by(deliveries.c.peer, results.c.id)
            ).all()
        return [Output(ResultObject(*row[1:]), row[0]) for row in rows]

    def _set(self, number: int, values: dict[str, object]) -> None:
        with self._database.write() as connection:
            connection.execute(update(workitems).where(workitems.c.id == number).values(values))
