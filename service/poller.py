"""Poller: take up what other processes change on disk.

    every interval: poll --> a few folders and small files --> load what has changed

Files are polled, because network file systems send no notice of a change. Where nothing has
changed, a poll does nothing else.
"""

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger("g2d.watching")


class Poller:
    """A thread that polls.

    Args:
        subject: what is polled, for the log and the name of the thread.
        poll: polls once. An exception is logged, and the next poll comes all the same.
        interval_s: pause between two polls; 0 never polls.
    """

    def __init__(self, subject: str, poll: Callable[[], None], interval_s: float) -> None:
        self._subject = subject
        self._poll = poll
        self._interval_s = interval_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"poller of {subject}", daemon=True)

    def start(self) -> None:
        """Start polling, unless the interval is 0."""
        if self._interval_s > 0:
            self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stop after a poll that is under way. Blocks.

        Args:
            timeout_s: seconds to wait for that poll; afterwards it is left to end with the process.
        """
        self._stopping.set()
        if self._thread.ident is None:
            return
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            logger.error("polling %s did not end within %g s", self._subject, timeout_s)

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_s):
            try:
                self._poll()
            except Exception:
                logger.exception("polling %s failed", self._subject)
