"""Repository poller: take up versions and aliases that other processes publish.

    every interval: poll --> aliases.json and the folders it points to --> load, route, free

The repository is polled, because network file systems send no notice of a change. One poll lists
a few folders and reads one small file for each model; where nothing has changed, nothing else
happens.
"""

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger("g2d.watching")


class RepositoryPoller:
    """A thread that polls the repository.

    Args:
        poll: polls once. An exception is logged, and the next poll comes all the same.
        interval_s: pause between two polls; 0 never polls.
    """

    def __init__(self, poll: Callable[[], None], interval_s: float) -> None:
        self._poll = poll
        self._interval_s = interval_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="repository-poller", daemon=True)

    def start(self) -> None:
        """Start polling, unless the interval is 0."""
        if self._interval_s > 0:
            self._thread.start()

    def stop(self) -> None:
        """Stop after a poll that is under way. Blocks."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_s):
            try:
                self._poll()
            except Exception:
                logger.exception("polling the model repository failed")
