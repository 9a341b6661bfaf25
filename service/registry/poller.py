"""Watching: what a training job publishes, or `g2d models` changes, is taken up.

    every interval: aliases.json and the folders it points to --look--> load, swap, free

Polling, because no notice of a change comes over a network file system. One look lists a few
folders and reads one small file a model; where nothing changed, nothing else happens.
"""

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger("g2d.watching")


class RepositoryPoller:
    """A thread that looks again and again.

    Args:
        look: one look; what it raises is logged, and the next look comes all the same.
        interval_s: pause between two looks; 0 never looks.
    """

    def __init__(self, look: Callable[[], None], interval_s: float) -> None:
        self._look = look
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watching", daemon=True)

    def start(self) -> None:
        """Begin, unless there is nothing to do."""
        if self._interval_s > 0:
            self._thread.start()

    def stop(self) -> None:
        """End, after a look that is under way. Blocks."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._interval_s):
            try:
                self._look()
            except Exception:
                logger.exception("looking for new versions failed")
