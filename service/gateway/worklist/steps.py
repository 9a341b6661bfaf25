"""Steps: one attempt at whatever is next for a workitem, in the state that the journal has.

    claiming   --IN PROGRESS-->            claimed | lost
    claimed    --retrieve the inputs-->    performing | canceling
    performing --results are delivered-->  completing | canceling
    completing --report, COMPLETED-->      completed | lost
    canceling  --report, CANCELED-->       canceled | lost

Each step may be repeated: before a request is made, the journal has what the request will say. A
claim whose answer was lost is proved by an update, which a worklist takes with the Transaction UID
of the claim only.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from service.gateway.configuration import Code, DimsePeer, StowPeer, Worklist
from service.gateway.errors import (
    InputsRefused,
    InputsUnavailable,
    InvalidWorkitem,
    WorkitemConflict,
    WorkitemGone,
    WorklistRefuses,
)
from service.gateway.storage.records import (
    DeliveryState,
    InstanceState,
    OpenWorkitem,
    WorkitemProgress,
    WorkitemState,
)
from service.gateway.storage.workitems import Workitems
from service.gateway.worklist import payloads
from service.gateway.worklist.client import WorklistClient
from service.gateway.worklist.dicom_json import text
from service.gateway.worklist.events import EventChannel
from service.gateway.worklist.retrieval import Retrieval
from service.gateway.worklist.workitem import (
    CANCELED,
    COMPLETED,
    IN_PROGRESS,
    SCHEDULED,
    STATE,
)

logger = logging.getLogger("g2d.gateway.worklist")

_LOOK_S = 0.2
"""Seconds between two looks at the progress of the analysis."""
_RETRIEVED = 20
"""Progress in percent once the inputs are there; the rest is that of analysis and delivery."""
_UNFINISHED_DELIVERIES = (DeliveryState.QUEUED, DeliveryState.SENT)
_FINAL = {COMPLETED: WorkitemState.COMPLETED, CANCELED: WorkitemState.CANCELED}


class Steps:
    """Steps of the workitems of one worklist. Used on one event loop.

    Args:
        worklist: station and procedures.
        peers: where results are.
        client: asks the worklist.
        retrieval: retrieves inputs.
        workitems: records.
        channel: hears of requests for cancellation, if the worklist is configured so.
    """

    def __init__(
        self,
        worklist: Worklist,
        peers: tuple[DimsePeer | StowPeer, ...],
        client: WorklistClient,
        retrieval: Retrieval,
        workitems: Workitems,
        channel: EventChannel | None,
    ) -> None:
        self._worklist = worklist
        self._peers = peers
        self._client = client
        self._retrieval = retrieval
        self._workitems = workitems
        self._channel = channel
        self._subscribed: set[int] = set()
        self._looked: dict[int, float] = {}  # when the worklist was last asked for a state
        self._steps: Mapping[str, Callable[[OpenWorkitem], Awaitable[str | None]]] = {
            WorkitemState.CLAIMING: self._claim,
            WorkitemState.CLAIMED: self._retrieve,
            WorkitemState.PERFORMING: self._perform,
            WorkitemState.COMPLETING: self._complete,
            WorkitemState.CANCELING: self._cancel,
        }

    async def take(self, item: OpenWorkitem) -> str | None:
        """Take the next step of a workitem; return what became of it as one word, or None.

        Raises:
            WorklistUnreachable: nothing is known of the outcome; it is to be taken again.
            InputsUnavailable: the inputs are not to be had now; likewise.
            WorklistRefuses: it was refused; it may be taken again.
        """
        try:
            return await self._steps[item.state](item)
        except WorkitemGone:
            return self._lose(item, "gone")

    async def claim_first(self, item: OpenWorkitem) -> str:
        """Claim a workitem that was recorded just now, so that a conflict is that of another.

        Raises:
            WorklistUnreachable: nothing is known of the outcome; `take` goes on.
        """
        try:
            await self._client.change_state(item.uid, item.transaction, IN_PROGRESS)
        except (WorkitemConflict, WorkitemGone):
            return self._lose(item, "claimed_by_another")
        except WorklistRefuses:
            return self._lose(item, "claim_refused")
        return self._claimed(item)

    async def _claim(self, item: OpenWorkitem) -> str:
        """Claim a workitem that may be ours already."""
        try:
            await self._client.change_state(item.uid, item.transaction, IN_PROGRESS)
        except (WorkitemConflict, WorklistRefuses):
            try:
                await self._report(item, 0, "claimed")
            except (WorkitemConflict, WorklistRefuses):
                return self._lose(item, "claimed_by_another")
        return self._claimed(item)

    def _claimed(self, item: OpenWorkitem) -> str:
        self._workitems.advance(item.number, WorkitemState.CLAIMED)
        return "claimed"

    async def _retrieve(self, item: OpenWorkitem) -> str | None:
        try:
            data_set = await self._client.retrieve(item.uid)
        except InvalidWorkitem:
            return self._discontinue(item, "malformed_workitem")
        state = text(data_set, STATE)
        if state == SCHEDULED:  # the worklist has forgotten the claim
            self._workitems.advance(item.number, WorkitemState.CLAIMING)
            return None
        if state in (COMPLETED, CANCELED):
            return self._lose(item, "ended_by_another")
        if item.cancel_requested:
            return self._discontinue(item, "cancel_requested")
        await self._subscribe(item)
        try:
            await self._retrieval.retrieve(item.number, data_set)
        except InputsRefused as error:
            return self._discontinue(item, str(error))
        except InputsUnavailable as error:
            if item.attempts + 1 < self._worklist.retry.attempts:
                raise
            return self._discontinue(item, str(error))
        self._workitems.advance(item.number, WorkitemState.PERFORMING)
        return None

    async def _subscribe(self, item: OpenWorkitem) -> None:
        """Subscribe to the events of a workitem, once in the life of this process."""
        if self._channel is None or item.number in self._subscribed:
            return
        self._subscribed.add(item.number)
        try:
            self._channel.subscribed(await self._client.subscribe(item.uid))
        except (WorkitemConflict, WorklistRefuses) as error:  # it does not support events
            fields = {"workitem": item.number, "reason": str(error)}
            logger.warning("a workitem cannot be subscribed to", extra={"fields": fields})

    async def _perform(self, item: OpenWorkitem) -> str | None:
        if item.cancel_requested:
            self._workitems.cancel(item.number)
        progress = self._workitems.progress(item.number)
        if _is_finished(progress):
            self._looked.pop(item.number, None)
            return self._conclude(item, progress)
        lost = await self._look(item)
        if lost is not None:
            return lost
        await self._subscribe(item)
        percent = _percent(progress)
        if percent != item.reported:
            try:
                await self._report(item, percent, "analysis")
            except WorkitemConflict:
                self._looked.pop(item.number, None)  # the next look tells
        self._workitems.wait(item.number, time.time() + _LOOK_S)
        return None

    async def _look(self, item: OpenWorkitem) -> str | None:
        """Look from time to time whether the workitem is still to be performed."""
        now = time.monotonic()
        if now - self._looked.get(item.number, 0.0) < self._worklist.poll_s:
            return None
        try:
            state = text(await self._client.retrieve(item.uid), STATE)
        except InvalidWorkitem:
            state = ""
        if state in (COMPLETED, CANCELED):
            self._looked.pop(item.number, None)
            self._workitems.cancel(item.number)
            return self._lose(item, "ended_by_another")
        self._looked[item.number] = now
        return None

    def _conclude(self, item: OpenWorkitem, progress: WorkitemProgress) -> str | None:
        """Decide whether the work is complete, now that nothing more will happen."""
        if progress.canceled:
            return self._discontinue(item, "cancel_requested")
        if progress.instances.get(InstanceState.DEAD):
            return self._discontinue(item, "analysis_failed")
        if progress.deliveries.get(DeliveryState.DEAD):
            return self._discontinue(item, "delivery_failed")
        if not progress.instances.get(InstanceState.DONE):
            return self._discontinue(item, "suppressed")
        self._workitems.advance(item.number, WorkitemState.COMPLETING)
        return None

    async def _complete(self, item: OpenWorkitem) -> str:
        return await self._end(item, COMPLETED, self._performed(item))

    async def _cancel(self, item: OpenWorkitem) -> str:
        reason = item.reason or ""
        detail = ""
        if reason in ("suppressed", "analysis_failed"):
            detail = ", ".join(sorted(set(self._workitems.reasons(item.number))))[:256]
        ended = item.recorded if item.ended is None else item.ended
        report = payloads.cancellation(reason, detail, ended) | self._performed(item)
        return await self._end(item, CANCELED, report)

    def _performed(self, item: OpenWorkitem) -> dict[str, Any]:
        return payloads.performed(
            self._worklist.station,
            self._procedure(item),
            item.recorded if item.started is None else item.started,
            item.recorded if item.ended is None else item.ended,
            self._workitems.outputs(item.number),
            self._peers,
        )

    async def _end(self, item: OpenWorkitem, state: str, report: dict[str, Any]) -> str:
        """Write the final report and state; both may have been written before.

        Raises:
            WorklistRefuses: the worklist takes neither, and the workitem is still in progress.
        """
        try:
            await self._client.update(item.uid, item.transaction, report)
            await self._client.change_state(item.uid, item.transaction, state)
        except (WorkitemConflict, WorklistRefuses) as error:
            try:
                found = text(await self._client.retrieve(item.uid), STATE)
            except InvalidWorkitem:
                found = ""
            if found not in (COMPLETED, CANCELED):
                raise WorklistRefuses(str(error)) from error
            if found != state:
                return self._lose(item, "ended_by_another")
        self._workitems.advance(item.number, _FINAL[state], item.reason)
        return str(_FINAL[state])

    async def _report(self, item: OpenWorkitem, percent: int, description: str) -> None:
        report = payloads.progress(percent, description)
        await self._client.update(item.uid, item.transaction, report)
        self._workitems.report(item.number, percent)

    def _procedure(self, item: OpenWorkitem) -> Code:
        known = {code.value: code for code in self._worklist.procedures}
        return known.get(item.procedure, self._worklist.procedures[0])

    def _discontinue(self, item: OpenWorkitem, reason: str) -> str:
        self._workitems.advance(item.number, WorkitemState.CANCELING, reason)
        return "discontinued"

    def _lose(self, item: OpenWorkitem, reason: str) -> str:
        self._workitems.advance(item.number, WorkitemState.LOST, reason)
        return "lost"


def _is_finished(progress: WorkitemProgress) -> bool:
    return not progress.instances.get(InstanceState.QUEUED) and not any(
        progress.deliveries.get(state) for state in _UNFINISHED_DELIVERIES
    )


def _percent(progress: WorkitemProgress) -> int:
    """Return the progress: half of what remains is analysis, the other half delivery."""
    instances = sum(progress.instances.values())
    deliveries = sum(progress.deliveries.values())
    analysed = instances - progress.instances.get(InstanceState.QUEUED, 0)
    sent = deliveries - sum(progress.deliveries.get(state, 0) for state in _UNFINISHED_DELIVERIES)
    share = analysed / max(instances, 1)
    if analysed == instances:
        share += sent / max(deliveries, 1)
    return _RETRIEVED + round((99 - _RETRIEVED) * share / 2)
