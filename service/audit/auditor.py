"""Auditor: turns inferences and changes into entries; without a trail it does nothing.

    async with auditor.inference(...) as audited:    a file arrives: audited.receives
        ...                                          an answer is made: audited.answers
    the entry is written; with `refuse`, before the context ends

A request that is refused before its file has arrived is no inference: the request log has it. Large
files and answers are digested in a thread, beside the work on the request; small ones at once, as
handing them to a thread and waiting for it takes longer than their digest.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from service.audit.chain.entry import Entry
from service.audit.chain.trail import AuditTrail
from service.audit.pseudonyms import Pseudonyms
from service.errors import AuditUnavailable
from service.inference.results import ModelIdentity

OutcomeOf = Callable[[Exception], tuple[int, str]]
"""Returns the HTTP status and the problem type of an error."""

OK = 200

_AT_ONCE_BYTES = 64 * 1024


class Auditor:
    """Makes the entries of one application.

    Args:
        trail: writes the entries, or None if nothing is audited.
        pseudonyms: pseudonyms of SOP Instance UIDs.
        outcome_of: tells how an error is answered.
    """

    def __init__(
        self,
        trail: AuditTrail | None = None,
        pseudonyms: Pseudonyms | None = None,
        outcome_of: OutcomeOf | None = None,
    ) -> None:
        self.trail = trail
        self._pseudonyms = pseudonyms
        self._outcome_of = outcome_of
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="audit-digest")

    @property
    def failing(self) -> bool:
        """True while the log cannot be written."""
        return self.trail is not None and self.trail.failing

    def check(self) -> None:
        """Refuse work early whose entry could not be written.

        Raises:
            AuditUnavailable: the log cannot be written, and nothing is answered without it.
        """
        if self.trail is not None:
            self.trail.check()

    def start(self) -> None:
        """Start to write."""
        if self.trail is not None:
            self.trail.start()

    def close(self) -> None:
        """Write what is queued. Blocks."""
        self._threads.shutdown()
        if self.trail is not None:
            self.trail.close()

    @asynccontextmanager
    async def inference(self, entry: Entry) -> AsyncIterator["AuditedInference"]:
        """Audit the answer to one file, or the error that is raised within the context.

        Args:
            entry: act, principal, request and tasks.

        Raises:
            AuditUnavailable: the log cannot be written, and nothing is answered without it.
        """
        audited = AuditedInference(self._digest if self.trail is not None else None)
        self.check()
        try:
            yield audited
        except Exception as error:
            await self._append_inference(entry, audited, error)
            raise
        await self._append_inference(entry, audited, None)

    @asynccontextmanager
    async def change(self, entry: Entry) -> AsyncIterator["AuditedChange"]:
        """Audit a change: that it is about to be made, and how it ended.

        Args:
            entry: act, principal, request, and what is to be changed.

        Raises:
            AuditUnavailable: the log cannot be written; the change was not made.
        """
        audited = AuditedChange(self.trail, entry)
        try:
            yield audited
        except Exception as error:
            if self.trail is not None:
                self.trail.record(self._failed(audited.entry, error))
            raise
        if self.trail is not None:
            with suppress(AuditUnavailable):  # the change is made, and its beginning is written
                await self.trail.append(replace(audited.entry, status=OK))

    async def _append_inference(
        self, entry: Entry, audited: "AuditedInference", error: Exception | None
    ) -> None:
        """Write the entry of an inference, unless no file arrived."""
        if self.trail is None or audited.input is None:
            return
        model = audited.model
        if model is not None:
            entry = replace(entry, model=model.name, version=model.version, digest=model.digest)
        started = time.perf_counter()
        input_sha256 = await _result(audited.input)
        entry = replace(entry, input_sha256=input_sha256)
        if error is not None:
            entry = self._failed(entry, error)
        elif audited.result is not None and self._pseudonyms is not None:
            result_sha256 = await _result(audited.result)
            instance = self._pseudonyms.of(audited.sop_instance_uid)
            entry = replace(entry, instance=instance, result_sha256=result_sha256, status=OK)
        await self.trail.append(entry)
        audited.timings_ms["audit"] = (time.perf_counter() - started) * 1e3

    def _failed(self, entry: Entry, error: Exception) -> Entry:
        if self._outcome_of is None:
            return entry
        status, problem = self._outcome_of(error)
        return replace(entry, status=status, problem=problem)

    def _digest(self, data: bytes) -> Future[str]:
        if len(data) > _AT_ONCE_BYTES:
            return self._threads.submit(_sha256, data)
        digested: Future[str] = Future()
        digested.set_result(_sha256(data))
        return digested


class AuditedInference:
    """Knowledge of an inference that gathers while it runs.

    Args:
        digest: starts to digest bytes, or None if nothing is audited.

    Attributes:
        timings_ms: milliseconds of the stage `audit`, the wait for digests and entry.
    """

    def __init__(self, digest: Callable[[bytes], Future[str]] | None) -> None:
        self._digest = digest
        self.timings_ms: dict[str, float] = {}
        self.input: Future[str] | None = None
        self.model: ModelIdentity | None = None
        self.sop_instance_uid: str | None = None
        self.result: Future[str] | None = None

    def receives(self, data: bytes, model: ModelIdentity) -> None:
        """Take the bytes of the file, and the version that is to answer."""
        self.model = model
        if self._digest is not None:
            self.input = self._digest(data)

    def identifies(self, sha256: str, model: ModelIdentity) -> None:
        """Take the digest of a file that the caller has digested, and the version."""
        self.model, self.input = model, Future()
        self.input.set_result(sha256)

    def answers(self, data: bytes, sop_instance_uid: str | None) -> None:
        """Take the encoded answer, and the SOP Instance UID of the file if it has one."""
        self.sop_instance_uid = sop_instance_uid
        if self._digest is not None:
            self.result = self._digest(data)


class AuditedChange:
    """A change while it is made.

    Args:
        trail: writes the entries, or None if nothing is audited.
        entry: what is to be changed; may be completed while the request is read.
    """

    def __init__(self, trail: AuditTrail | None, entry: Entry) -> None:
        self._trail = trail
        self.entry = entry

    async def begins(self) -> None:
        """Write that the change is about to be made.

        Raises:
            AuditUnavailable: the entry cannot be written; the change must not be made.
        """
        if self._trail is not None:
            await self._trail.append(self.entry)


async def _result(digested: Future[str]) -> str:
    """Return a digest, without a turn of the event loop if it is there."""
    return digested.result() if digested.done() else await asyncio.wrap_future(digested)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
