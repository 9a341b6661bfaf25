"""Deadline: until when a request is worth working on, told to every part that works on it."""

import threading
import time

from service.errors import ClientGone, DeadlineExceeded


class Deadline:
    """When a request is given up, and whether anybody still waits for it.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds
        self._gone = threading.Event()

    @property
    def gone(self) -> bool:
        """Whether nobody waits any more."""
        return self._gone.is_set()

    def left(self) -> float:
        """Seconds until it, at least 0."""
        return max(0.0, self._at - time.monotonic())

    def over(self) -> bool:
        """Whether work for it is in vain."""
        return self.gone or not self.left()

    def abandon(self) -> None:
        """Nobody waits any more."""
        self._gone.set()

    def check(self) -> None:
        """The checkpoint between two stages of the work.

        Raises:
            ClientGone: nobody waits any more.
            DeadlineExceeded: too late.
        """
        if self.gone:
            raise ClientGone("nobody waits for the answer")
        if not self.left():
            raise DeadlineExceeded("the deadline passed before the answer was ready")
