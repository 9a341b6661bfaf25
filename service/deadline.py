"""Deadline of a request, shared by every component that works on it."""

import threading
import time

from service.errors import ClientGone, DeadlineExceeded


class Deadline:
    """Time limit of one request, which the client can also end early by leaving.

    Args:
        seconds: time limit, counted from now.
    """

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds
        self._gone = threading.Event()

    @property
    def gone(self) -> bool:
        """True once the client no longer waits for the answer."""
        return self._gone.is_set()

    def left(self) -> float:
        """Return the seconds until the deadline, at least 0."""
        return max(0.0, self._at - time.monotonic())

    def over(self) -> bool:
        """Return whether further work on the request would be wasted."""
        return self.gone or not self.left()

    def abandon(self) -> None:
        """Record that the client no longer waits for the answer."""
        self._gone.set()

    def check(self) -> None:
        """Stop work on a request that is over; called between two stages of the work.

        Raises:
            ClientGone: the client no longer waits.
            DeadlineExceeded: the deadline has passed.
        """
        if self.gone:
            raise ClientGone("the client no longer waits for the answer")
        if not self.left():
            raise DeadlineExceeded("the deadline passed before the answer was ready")
