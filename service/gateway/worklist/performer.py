"""Performer: a thread that claims workitems of one worklist and performs them.

    worklist --search--> candidates --journal--> claim --> steps, until each is completed,
                                                           canceled, lost or given up

A worklist that does not answer is left alone for the delay of the back-off. Every workitem that was
claimed is recorded before, so that a crash loses none.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from pydicom.uid import generate_uid

from service.gateway.backoff import delay_s
from service.gateway.configuration import Configuration, Retry, Worklist
from service.gateway.errors import (
    GatewayUnavailable,
    InputsUnavailable,
    InvalidWorkitem,
    WorkitemConflict,
    WorkitemGone,
    WorklistError,
    WorklistRefuses,
    WorklistUnreachable,
)
from service.gateway.receiving.intake import Intake
from service.gateway.storage.journal import Journal
from service.gateway.storage.records import OpenWorkitem
from service.gateway.storage.workitems import Workitems
from service.gateway.worklist.client import WorklistClient
from service.gateway.worklist.events import EventChannel
from service.gateway.worklist.retrieval import Retrieval
from service.gateway.worklist.steps import Steps
from service.gateway.worklist.workitem import Candidate, candidate, uid_of
from service.observability.metrics.gateway_metrics import GatewayMetrics

logger = logging.getLogger("g2d.gateway.worklist")

_IDLE_S = 0.1
_MAX_PAGES = 20
_PASSED_OVER_S = 60.0
"""Seconds for which a workitem that is not for this gateway is not retrieved again."""
_MAX_PASSED_OVER = 10_000


@dataclass
class _PassedOver:
    """Workitems that are not for this gateway, each until it is looked at again."""

    until: dict[str, float] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)

    def has(self, uid: str) -> bool:
        return self.until.get(uid, 0.0) > time.monotonic()

    def add(self, uid: str, seconds: float = _PASSED_OVER_S) -> None:
        now = time.monotonic()
        if len(self.until) >= _MAX_PASSED_OVER:
            self.until = {one: until for one, until in self.until.items() if until > now}
            self.failures = {}
        if len(self.until) < _MAX_PASSED_OVER:
            self.until[uid] = now + seconds

    def add_for_now(self, uid: str, retry: Retry) -> None:
        """Pass a workitem over that could not be retrieved, longer each time."""
        self.failures[uid] = self.failures.get(uid, 0) + 1
        self.add(uid, delay_s(retry, self.failures[uid]))


class Performer:
    """Performs the workitems of one worklist.

    Args:
        worklist: the worklist.
        configuration: AE title, peers, limits.
        workitems: records.
        journal: received instances.
        intake: takes inputs.
        metrics: counts outcomes.
    """

    def __init__(
        self,
        worklist: Worklist,
        configuration: Configuration,
        workitems: Workitems,
        journal: Journal,
        intake: Intake,
        metrics: GatewayMetrics,
    ) -> None:
        """Read secrets, certificates and the allow-list.

        Raises:
            InvalidConfiguration, InvalidSettings: a file cannot be used.
        """
        self._worklist = worklist
        self._workitems = workitems
        self._metrics = metrics
        self._client = WorklistClient(worklist, configuration.ae_title)
        self._retrieval = Retrieval(
            worklist, configuration.listen.max_bytes, intake, journal, workitems
        )
        self._channel = (
            EventChannel(worklist, configuration.ae_title, workitems, metrics)
            if worklist.events
            else None
        )
        self._steps = Steps(
            worklist,
            configuration.peers,
            self._client,
            self._retrieval,
            workitems,
            self._channel,
        )
        self._passed_over = _PassedOver()
        self._failures = 0  # in a row
        self._not_before = 0.0
        self._next_search = 0.0
        self._turning: asyncio.Task[bool] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"performer-{worklist.name}", daemon=True
        )

    def start(self) -> None:
        """Start to perform."""
        if self._channel is not None:
            self._channel.start()
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stop; a step that is under way is left, and taken again later. Blocks."""
        self._stopping.set()
        turning = self._turning
        if turning is not None:
            turning.get_loop().call_soon_threadsafe(turning.cancel)
        self._thread.join(timeout_s)
        if self._channel is not None:
            self._channel.stop(timeout_s)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._turn_until_stopped())

    async def _turn_until_stopped(self) -> None:
        while not self._stopping.is_set():
            self._turning = asyncio.create_task(self._turn())
            try:
                worked = await self._turning
            except asyncio.CancelledError:
                continue
            except Exception:
                logger.exception("a worklist could not be served")
                self._back_off("error")
                worked = False
            if not worked:
                await asyncio.to_thread(self._stopping.wait, _IDLE_S)
        self._turning = None
        await self._close()

    async def _close(self) -> None:
        await self._client.close()
        await self._retrieval.close()

    async def _turn(self) -> bool:
        """Search if it is time to, and take every step that is due; return False if none was."""
        now = time.time()
        if now < self._not_before:
            return False
        worked = False
        for item in self._workitems.due(now):
            if self._stopping.is_set():
                return True
            worked = await self._attempt(item, self._steps.take(item)) or worked
        if time.monotonic() >= self._next_search:
            self._next_search = time.monotonic() + self._worklist.poll_s
            free = self._worklist.workitems - len(self._workitems.open())
            if free > 0:
                await self._search(free)
        return worked

    async def _attempt(self, item: OpenWorkitem, step: Coroutine[Any, Any, str | None]) -> bool:
        """Take a step and record how it failed; return whether it did not."""
        try:
            outcome = await step
        except WorklistUnreachable as error:
            self._back_off(str(error))
            self._retry(item, str(error), refused=False)
            return False
        except InputsUnavailable as error:
            self._retry(item, str(error), refused=False)
            return False
        except WorklistError as error:
            self._retry(item, str(error), refused=True)
            return False
        except GatewayUnavailable:
            logger.exception("a workitem cannot be recorded")
            self._back_off("unavailable")
            return False
        self._failures = 0
        if outcome is not None:
            self._metrics.workitem(self._worklist.name, outcome)
            fields = {"workitem": item.number, "outcome": outcome}
            logger.info("workitem", extra={"fields": fields})
        return True

    def _retry(self, item: OpenWorkitem, reason: str, *, refused: bool) -> None:
        retry = self._worklist.retry
        attempts, refusals = item.attempts + 1, item.refusals + int(refused)
        if attempts < retry.attempts and refusals < retry.refusals:
            due = time.time() + delay_s(retry, attempts)
            self._workitems.retry(item.number, due, reason, refused=refused)
            return
        self._workitems.bury(item.number, reason)
        self._metrics.workitem(self._worklist.name, "dead")
        fields = {"workitem": item.number, "reason": reason}
        logger.error("a workitem was given up", extra={"fields": fields})

    def _back_off(self, reason: str) -> None:
        self._failures += 1
        self._not_before = time.time() + delay_s(self._worklist.retry, self._failures)
        self._metrics.workitem(self._worklist.name, "unreachable")
        fields = {"worklist": self._worklist.name, "reason": reason, "failures": self._failures}
        logger.warning("a worklist cannot be served", extra={"fields": fields})

    async def _search(self, free: int) -> None:
        """Claim as many workitems as there is room for, those of the highest priority first."""
        try:
            candidates = await self._candidates()
        except WorklistUnreachable as error:
            self._back_off(str(error))
            return
        except WorklistError as error:
            self._metrics.workitem(self._worklist.name, "malformed")
            self._back_off(str(error))
            return
        for found in sorted(candidates, key=lambda one: one.order)[:free]:
            if self._stopping.is_set():
                return
            transaction = str(generate_uid(prefix=None))
            if not self._workitems.record(found.uid, transaction, found.procedure.value):
                continue
            item = next((one for one in self._workitems.open() if one.uid == found.uid), None)
            if item is not None:
                await self._attempt(item, self._steps.claim_first(item))

    async def _candidates(self) -> list[Candidate]:
        """Return the workitems that may be claimed, of all pages of the search.

        Raises:
            WorklistError: the worklist does not answer, or not with a list.
        """
        found: dict[str, Candidate] = {}
        unanswered = False
        for page in range(_MAX_PAGES):
            rows, more = await self._client.search(page)
            uids = dict.fromkeys(uid for row in rows if (uid := uid_of(row)) is not None)
            if len(rows) > len(uids):
                self._metrics.workitem(self._worklist.name, "malformed")
            new = uids.keys() - self._workitems.known(uids)
            for uid in (uid for uid in uids if uid in new and not self._passed_over.has(uid)):
                try:
                    one = await self._candidate(uid)
                except WorklistUnreachable:
                    self._passed_over.add_for_now(uid, self._worklist.retry)
                    if unanswered:  # two in a row: the worklist is the cause, not the workitem
                        raise
                    unanswered = True
                    continue
                unanswered = False
                if one is not None:
                    found[uid] = one
            if not more or not rows or len(found) >= self._worklist.workitems * 4:
                break
        return list(found.values())

    async def _candidate(self, uid: str) -> Candidate | None:
        """Return a workitem that may be claimed, or pass it over.

        Raises:
            WorklistUnreachable: there is no usable answer.
        """
        try:
            data_set = await self._client.retrieve(uid)
            found = candidate(data_set, self._worklist)
        except WorkitemGone:
            return None
        except (InvalidWorkitem, WorklistRefuses, WorkitemConflict):
            self._metrics.workitem(self._worklist.name, "malformed")
            found = None
        if found is None or found.uid != uid:
            self._passed_over.add(uid)
            return None
        return found
