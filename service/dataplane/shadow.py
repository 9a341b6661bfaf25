"""Shadow: a copy of a request also runs on another version, after its answer was given.

    answer sent --offer--> [few places] --one thread, while there is no load--> run, compare
                   '- full, or under load: dropped                               -> log, observer

Nobody waits for it: it never delays an answer and its failures are only counted. A copy holds
no version while it waits; one that was freed meanwhile is dropped.
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

_PLACES = 2
"""Copies that wait. Each keeps its body and its answer in memory."""


@dataclass(frozen=True, eq=False)
class Copy:
    """A request that was answered, to be answered again.

    Attributes:
        shadow: the version that answers it now.
        request: what was asked.
        data, media_type: of what file.
        result: what was answered.
        request_id: finds both answers in the log.
    """

    shadow: VersionStatus
    request: AnalysisRequest
    data: bytes
    media_type: str
    result: AnalysisResult
    request_id: str


class Shadows:
    """Runs copies, one at a time.

    Args:
        observer: hears how far the answers are apart.
        busy: whether requests wait; copies are dropped then.
    """

    def __init__(self, observer: Observer, busy: Callable[[], bool]) -> None:
        self._observer = observer
        self._busy = busy
        self._copies: queue.Queue[Copy | None] = queue.Queue(_PLACES)
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self._starting = threading.Lock()
        self._ended = False

    def offer(self, copy: Copy) -> bool:
        """Leave a copy to be run; False when it was dropped. Returns at once."""
        if self._ended or self._busy():
            return False
        self._start()
        try:
            self._copies.put_nowait(copy)
        except queue.Full:
            return False
        return True

    def close(self) -> None:
        """Drop what waits, and let what runs end. Blocks."""
        self._ended = True
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
            resident = copy.shadow.loaded
            if not self._ended and not self._busy() and resident and resident.acquire():
                self._run(copy, resident)
            del copy, resident  # not kept in memory until the next one comes

    def _run(self, copy: Copy, resident: LoadedVersion) -> None:
        fields = {
            "id": copy.request_id,
            "model": str(copy.result.model),
            "shadow": str(resident.analysis.identity),
        }
        try:
            again = resident.analysis.run_here(copy.request, copy.data, copy.media_type)
            found = differences(copy.result, again)
            self._observer.shadow(fields["shadow"], found)
            rounded = {name: round(value, 4) for name, value in found.items()}
            logger.info("shadow", extra={"fields": {**fields, "differences": rounded}})
        except Exception as error:  # noqa: BLE001 - whatever it is, the real answer was given
            # The type alone: what a decoder or a backend says may quote the input.
            fields["error"] = type(error).__name__
            logger.warning("a shadow version failed", extra={"fields": fields})
        finally:
            resident.release()
