"""Outbox: deliveries of results to peers, in the database of the journal.

    queue --> due --> deliver
                  --> await_commitment --> commit | decline | resend_uncommitted
                  --> retry | bury | replace

A result that was sent but not recorded is sent again after a crash, which is the same object for
the peer. Calls block.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields

from sqlalchemy import Connection, Select, select, update
from sqlalchemy.dialects.sqlite import insert

from service.gateway.errors import ResultConflict
from service.gateway.storage.records import Delivery, DeliveryState, Outgoing, ResultObject
from service.gateway.storage.schema import deliveries, made, results
from service.storage.database import Database

REPLACED = "replaced"
"""Reason of a delivery in whose place another form of the result is delivered."""


class Outbox:
    """Deliveries. Safe to call from several threads.

    Args:
        database: database of the journal.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, peer: str, now: float, limit: int) -> list[Delivery]:
        """Return the deliveries to a peer that are due, those of one instance together."""
        with self._database.read() as connection:
            rows = connection.execute(
                _select_deliveries()
                .where(
                    deliveries.c.peer == peer,
                    deliveries.c.state == DeliveryState.QUEUED,
                    deliveries.c.due <= now,
                )
                .order_by(results.c.instance, deliveries.c.id)
                .limit(limit)
            ).all()
        return [Delivery(row[0], ResultObject(*row[4:]), *row[1:4]) for row in rows]

    def deliver(self, numbers: Sequence[int]) -> None:
        """Record that results were delivered for good."""
        with self._database.write() as connection:
            _set_deliveries(connection, numbers, state=DeliveryState.DONE, reason=None)

    def await_commitment(self, numbers: Sequence[int], transaction: str, until: float) -> None:
        """Record that results were sent, and that the peer is to report about a transaction."""
        with self._database.write() as connection:
            _set_deliveries(
                connection,
                numbers,
                state=DeliveryState.SENT,
                transaction=transaction,
                due=until,
            )

    def commit(self, transaction: str, peer_results: Iterable[str]) -> int:
        """Record the results of a transaction that the peer has committed to store.

        Args:
            transaction: UID of the transaction.
            peer_results: SOP Instance UIDs that the peer names.

        Returns:
            Number of results that waited for it.
        """
        return self._report(transaction, peer_results, {"state": DeliveryState.DONE})

    def decline(self, transaction: str, peer_results: Iterable[str], due: float) -> int:
        """Record the results of a transaction that the peer has not stored, to be sent again.

        Returns:
            Number of results that are sent again.
        """
        values = {
            "state": DeliveryState.QUEUED,
            "due": due,
            "reason": "not_committed",
            "attempts": deliveries.c.attempts + 1,
            "refusals": deliveries.c.refusals + 1,
        }
        return self._report(transaction, peer_results, values)

    def resend_uncommitted(self, peer: str, now: float) -> int:
        """Queue the results again about which a peer has not reported in time; return how many."""
        with self._database.write() as connection:
            changed = connection.execute(
                update(deliveries)
                .where(
                    deliveries.c.peer == peer,
                    deliveries.c.state == DeliveryState.SENT,
                    deliveries.c.due <= now,
                )
                .values(
                    state=DeliveryState.QUEUED,
                    reason="commitment_timeout",
                    attempts=deliveries.c.attempts + 1,
                )
            )
            return changed.rowcount

    def retry(self, number: int, due: float, reason: str, *, refused: bool) -> None:
        """Record that a result is to be sent again."""
        with self._database.write() as connection:
            _set_deliveries(
                connection,
                [number],
                due=due,
                reason=reason,
                attempts=deliveries.c.attempts + 1,
                refusals=deliveries.c.refusals + int(refused),
            )

    def bury(self, number: int, reason: str) -> None:
        """Record that a result was given up."""
        with self._database.write() as connection:
            _set_deliveries(
                connection,
                [number],
                state=DeliveryState.DEAD,
                reason=reason,
                attempts=deliveries.c.attempts + 1,
            )

    def replace(self, number: int, replacement: ResultObject) -> None:
        """Record another form of a result for one peer, to be delivered instead."""
        with self._database.write() as connection:
            row = connection.execute(
                select(deliveries.c.peer, results.c.instance)
                .join(results, results.c.id == deliveries.c.result)
                .where(deliveries.c.id == number)
            ).one()
            queue(connection, row.instance, [Outgoing(replacement, (row.peer,))], time.time())
            _set_deliveries(connection, [number], state=DeliveryState.DONE, reason=REPLACED)

    def fallback(self, result: ResultObject) -> ResultObject | None:
        """Return the form that a peer gets which does not take this one, or None."""
        columns = [results.c[field.name] for field in fields(ResultObject)]
        with self._database.read() as connection:
            row = connection.execute(
                select(*columns).where(results.c.sop_instance_uid == result.fallback)
            ).first()
        return None if row is None else ResultObject(*row)

    def _report(
        self, transaction: str, peer_results: Iterable[str], values: dict[str, object]
    ) -> int:
        named = select(results.c.id).where(results.c.sop_instance_uid.in_(list(peer_results)))
        with self._database.write() as connection:
            changed = connection.execute(
                update(deliveries)
                .where(
                    deliveries.c.transaction == transaction,
                    deliveries.c.state == DeliveryState.SENT,
                    deliveries.c.result.in_(named),
                )
                .values(values)
            )
            return changed.rowcount


def queue(
    connection: Connection, instance: int, outgoing_results: Iterable[Outgoing], now: float
) -> None:
    """Record results, and queue each for its peers, except where it was queued before.

    Raises:
        ResultConflict: a result has the UID of an earlier one, but other content.
    """
    for outgoing in outgoing_results:
        number = _record(connection, instance, outgoing.result)
        connection.execute(
            insert(made).values(instance=instance, result=number).on_conflict_do_nothing()
        )
        for peer in outgoing.peers:
            state = {"state": DeliveryState.QUEUED, "attempts": 0, "refusals": 0, "due": now}
            connection.execute(
                insert(deliveries)
                .values(result=number, peer=peer, **state)
                .on_conflict_do_nothing()
            )


def _record(connection: Connection, instance: int, result: ResultObject) -> int:
    """Return the number of a result, which is recorded unless it was before."""
    connection.execute(
        insert(results).values(instance=instance, **asdict(result)).on_conflict_do_nothing()
    )
    found = connection.execute(
        select(results.c.id, results.c.digest).where(
            results.c.sop_instance_uid == result.sop_instance_uid
        )
    ).one()
    if found.digest != result.digest:
        raise ResultConflict("a result has the UID of an earlier one, but other content")
    return int(found.id)


def _select_deliveries() -> (
    "Select[int, int, int, int, str, str, str, str, str, str | None, str, str]"
):
    return select(
        deliveries.c.id,
        results.c.instance,
        deliveries.c.attempts,
        deliveries.c.refusals,
        results.c.kind,
        results.c.sop_class_uid,
        results.c.sop_instance_uid,
        results.c.transfer_syntax,
        results.c.digest,
        results.c.fallback,
        results.c.study_instance_uid,
        results.c.series_instance_uid,
    ).join(results, results.c.id == deliveries.c.result)


def _set_deliveries(connection: Connection, numbers: Sequence[int], **values: object) -> None:
    connection.execute(update(deliveries).where(deliveries.c.id.in_(numbers)).values(**values))
