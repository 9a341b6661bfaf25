"""Trail: takes entries from any thread and writes them in order, many in one transaction.

    append | record --> queue --one thread--> store.append --> waiting callers, forwarder
                                    '- the store fails: retried every second until it is back

While one transaction reaches the disk the next entries gather, so that under load one transaction
has many entries. With `refuse`, an answer waits for its entry and is not given without it. With
`continue`, entries that the store cannot take stay in memory up to a bound; those beyond it are
lost. Either way the first entry after a failure says how many are missing.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from service.audit.chain.entry import Act, Entry, Row, TimedEntry
from service.audit.chain.store import AuditStore
from service.errors import AuditUnavailable
from service.observability.observer import NULL_OBSERVER, Observer

logger = logging.getLogger("g2d.audit")

_BATCH = 256
_GATHER_S = 0.1
"""Time for which entries gather before a transaction if no answer waits for them."""
_RETRY_S = 1.0
_WAIT_S = 10.0
"""Longest time that an answer waits for its entry."""
_MAX_PENDING = 10_000
_UNAVAILABLE = "the audit log cannot be written; nothing is answered without it"


class Forwarder(Protocol):
    """Receives every entry that has been written."""

    def start(self) -> None:
        """Start to forward."""

    def forward(self, entry: Entry, row: Row) -> None:
        """Take an entry and its row, without blocking."""

    def close(self) -> None:
        """Forward what is left, and stop. Blocks."""


@dataclass(eq=False)
class _Pending:
    """An entry that waits to be written, and the caller that waits for it, if any does."""

    timed: TimedEntry
    done: "Future[None] | None" = None


@dataclass(eq=False)
class _Queue:
    """Entries in the order of their acts, and those that were given up."""

    entries: deque[_Pending] = field(default_factory=deque)
    lost: int = 0
    closed: bool = False


class AuditTrail:
    """Writes the entries of this process to one chain.

    Args:
        store: keeps the chain.
        writer: name of the chain.
        refuse: an answer waits until its entry is written, and is refused if that fails.
        observer: is told of entries that were written or lost, and of failures of the store.
        forwarder: receives every entry that was written.
        retry_s: seconds between two attempts while the store fails.
    """

    def __init__(
        self,
        store: AuditStore,
        writer: str,
        *,
        refuse: bool,
        observer: Observer = NULL_OBSERVER,
        forwarder: Forwarder | None = None,
        retry_s: float = _RETRY_S,
    ) -> None:
        self.refuses = refuse
        self._store = store
        self._writer = writer
        self._observer = observer
        self._forwarder = forwarder
        self._retry_s = retry_s
        self._queue = _Queue()
        self._failed = False
        self._writing_since: float | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="audit", daemon=True)

    @property
    def failing(self) -> bool:
        """True while the store cannot be written, or does not answer."""
        since = self._writing_since
        return self._failed or (since is not None and time.monotonic() - since > _WAIT_S)

    def start(self) -> None:
        """Start to write, beginning with the start of the service."""
        if self._forwarder is not None:
            self._forwarder.start()
        self._thread.start()
        self.record(Entry(Act.STARTED))

    def close(self) -> None:
        """Write what is queued, and that the service stops; lose it if the store fails. Blocks."""
        self.record(Entry(Act.STOPPED))
        with self._changed:
            self._queue.closed = True
            self._changed.notify()
        self._thread.join()
        self._store.close()
        if self._forwarder is not None:
            self._forwarder.close()

    def check(self) -> None:
        """Refuse work early whose entry could not be written.

        Raises:
            AuditUnavailable: the store fails, and nothing is answered without it.
        """
        if self.refuses and self.failing:
            raise AuditUnavailable(_UNAVAILABLE)

    async def append(self, entry: Entry) -> None:
        """Write an entry before the answer is given, or leave it to be written afterwards.

        Raises:
            AuditUnavailable: the entry cannot be written, and nothing is answered without it.
        """
        self.check()
        if not self.refuses:
            self.record(entry)
            return
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()  # a caller that leaves does not cancel the entry
        self._put(_Pending(_now(entry), done))
        try:
            async with asyncio.timeout(_WAIT_S):
                await asyncio.wrap_future(done)
        except TimeoutError:
            raise AuditUnavailable(_UNAVAILABLE) from None

    def record(self, entry: Entry) -> None:
        """Leave an entry to be written, and return at once."""
        self._put(_Pending(_now(entry)))

    def _put(self, pending: _Pending) -> None:
        with self._changed:
            if len(self._queue.entries) >= _MAX_PENDING:
                self._lose([pending])
                return
            self._queue.entries.append(pending)
            self._changed.notify()

    def _work(self) -> None:
        """Write batches until closed and empty; while the store fails, try again at intervals."""
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work, self._retry_s if self._failed else None)
                if not (self.refuses or self._failed):  # nobody waits for these entries
                    self._changed.wait_for(self._is_full, _GATHER_S)
                if self._queue.closed and (self._failed or not self._queue.entries):
                    self._lose(list(self._queue.entries))
                    break
                taken = min(_BATCH, len(self._queue.entries))
                batch = [self._queue.entries.popleft() for _ in range(taken)]
            self._write(batch)
        if self._queue.lost:
            logger.error("the audit log lacks %d entries at the stop", self._queue.lost)

    def _has_work(self) -> bool:
        """Return whether to go on now: while the store fails, only time or the end is a reason."""
        return self._queue.closed or (not self._failed and bool(self._queue.entries))

    def _is_full(self) -> bool:
        return self._queue.closed or len(self._queue.entries) >= _BATCH

    def _write(self, batch: list[_Pending]) -> None:
        timed = [pending.timed for pending in batch]
        lost = self._queue.lost
        if self._failed or lost:
            timed.insert(0, _now(Entry(Act.RESUMED, lost=lost)))
        self._writing_since = time.monotonic()
        try:
            rows = self._store.append(self._writer, timed)
        except Exception as error:  # noqa: BLE001 - the thread must outlive every failure
            self._fail(batch, error)
            return
        finally:
            self._writing_since = None
        with self._changed:
            self._queue.lost -= lost
        self._set_failing(failing=False)
        self._observer.audit_entries("written", len(rows))
        for pending in batch:
            if pending.done is not None:
                pending.done.set_result(None)
        if self._forwarder is not None:
            for written, row in zip(timed, rows, strict=True):
                self._forwarder.forward(written.entry, row)

    def _fail(self, batch: list[_Pending], error: Exception) -> None:
        """Refuse the callers that wait, and keep the other entries for the next attempt."""
        if not self._failed:
            known = str(error) if isinstance(error, AuditUnavailable) else type(error).__name__
            logger.error("the audit log cannot be written: %s", known)
        self._set_failing(failing=True)
        with self._changed:
            refused = [pending for pending in batch if pending.done is not None]
            refused += [pending for pending in self._queue.entries if pending.done is not None]
            kept = [pending for pending in batch if pending.done is None]
            kept += [pending for pending in self._queue.entries if pending.done is None]
            self._queue.entries = deque(kept)
            self._lose(refused)

    def _lose(self, given_up: list[_Pending]) -> None:
        """Count entries that are not written; the callers that wait for them are refused."""
        if not given_up:
            return
        self._queue.lost += len(given_up)
        self._observer.audit_entries("lost", len(given_up))
        for pending in given_up:
            if pending.done is not None:
                pending.done.set_exception(AuditUnavailable(_UNAVAILABLE))

    def _set_failing(self, *, failing: bool) -> None:
        if self._failed and not failing:
            logger.warning("the audit log is written again")
        self._failed = failing
        self._observer.audit_failing(failing)


def _now(entry: Entry) -> TimedEntry:
    return TimedEntry(entry, datetime.now(UTC))
