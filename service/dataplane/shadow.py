"""Shadow traffic: a copy of a request also runs on another version, after its answer was sent.

    answer sent --offer--> [short queue] --one thread, while idle--> run, compare -> log, observer
                   '- queue full, or the service is busy: dropped

Shadow runs never delay an answer, and their failures are only counted. A copy does not hold the
version while it is queued; if the version was freed in the meantime, the copy is dropped.
"""

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from service.dataplane.output_comparison import differences
from service.inference.results import AnalysisResult
from service.inference.types import AnalysisRequest
from service.observability.observer import Observer
from service.registry.state import LoadedVersion, VersionStatus

logger = logging.getLogger("g2d.shadow")

_QUEUE_LENGTH = 2
"""Copies that can be queued. Each of them keeps its file and its result in memory."""


@dataclass(frozen=True, eq=False)
class ShadowCopy:
    """An answered request that the shadow version will answer as well.

    Attributes:
        version: the shadow version.
        request: the request that was answered.
        data: bytes of the file.
        media_type: media type of the file.
        result: result that was sent to the client.
        request_id: identifier under which both answers are logged.
    """

    version: VersionStatus
    request: AnalysisRequest
    data: bytes
    media_type: str
    result: AnalysisResult
    request_id: str


class Shadows:
    """Runs shadow copies, one at a time, in a thread of its own.

    Args:
        observer: receives the differences between the two answers.
        busy: returns whether requests are waiting; copies are dropped while they are.
    """

    def __init__(self, observer: Observer, busy: Callable[[], bool]) -> None:
        self._observer = observer
        self._busy = busy
        self._copies: queue.Queue[ShadowCopy | None] = queue.Queue(_QUEUE_LENGTH)
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self._starting = threading.Lock()
        self._closed = False

    def offer(self, copy: ShadowCopy) -> bool:
        """Queue a copy and return at once; False if the copy was dropped."""
        if self._closed or self._busy():
            return False
        self._start()
        try:
            self._copies.put_nowait(copy)
        except queue.Full:
            return False
        return True

    def close(self) -> None:
        """Drop queued copies and wait for the one that is running. Blocks."""
        self._closed = True
        with self._starting:
            if self._thread.ident is None:
                return
        self._copies.put(None)
        self._thread.join()

    def _start(self) -> None:
        with self._starting:
            if self._thread.ident is None:
                self._thread.start()

    def _work(self) -> None:
        while (copy := self._copies.get()) is not None:
            loaded = copy.version.loaded
            if not self._closed and not self._busy() and loaded and loaded.acquire():
                self._run(copy, loaded)
            del copy, loaded  # neither is kept in memory until the next copy arrives

    def _run(self, copy: ShadowCopy, loaded: LoadedVersion) -> None:
        fields = {
            "id": copy.request_id,
            "model": str(copy.result.model),
            "shadow": str(loaded.analysis.identity),
        }
        try:
            result = loaded.analysis.run_here(copy.request, copy.data, copy.media_type)
            found = differences(copy.result, result)
            self._observer.shadow(fields["shadow"], found)
            rounded = {name: round(value, 4) for name, value in found.items()}
            logger.info("shadow", extra={"fields": {**fields, "differences": rounded}})
        except Exception as error:  # noqa: BLE001 - a shadow run must never affect the service
            # Log the type alone: the message of a decoder or a backend may quote the input.
            fields["error"] = type(error).__name__
            logger.warning("a shadow version failed", extra={"fields": fields})
        finally:
            loaded.release()
