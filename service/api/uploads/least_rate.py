"""Least rate of an upload: a slow client must not hold what others wait for."""


class LeastRate:
    """Time until which the next bytes of an upload must arrive.

    Every byte buys time, but never more than the grace period from now on, so that bytes sent in
    advance do not pay for a long silence.

    Args:
        bytes_per_s: rate that the client must keep up, over any grace period.
        grace_s: seconds that the client may fall behind.
        now: monotonic time at which the upload began.

    Attributes:
        due: monotonic time until which the next bytes must arrive.
    """

    def __init__(self, bytes_per_s: float, grace_s: float, now: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._grace_s = grace_s
        self.due = now + grace_s

    def pause(self, seconds: float) -> None:
        """Leave out a time during which the service, and not the client, was slow."""
        self.due += seconds

    def receive(self, size: int, now: float) -> None:
        """Take bytes into account that have arrived."""
        self.due = min(self.due + size / self._bytes_per_s, now + self._grace_s)
