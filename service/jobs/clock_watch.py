"""Watch on the clocks by which jobs expire, so that a wrong time deletes nothing at once.

    steady clock  --|-------|-------|--     both advance alike: the time may be trusted
    wall clock    --|-------|--jump-----    from here on it is not, until it was steady for a while

An operator, or a machine that starts with an empty battery, may set the clock to a wrong day. Until
that is corrected, every finished job may look expired and every file old.
"""

import time
from collections.abc import Callable, Sequence

TRUSTED_AFTER_S = 3600.0
_JUMP_S = 60.0
"""Difference between two clocks that is no drift: adjustments of NTP are below 0.05 %."""


class ClockWatch:
    """Tells whether wall clocks have been steady for long enough to delete by them.

    Args:
        trusted_after_s: seconds without a jump after which the clocks are trusted.
        steady: clock that cannot be set.
    """

    def __init__(
        self,
        trusted_after_s: float = TRUSTED_AFTER_S,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trusted_after_s = trusted_after_s
        self._steady = steady
        self._since = self._at = steady()
        self._times: tuple[float, ...] = ()

    def jumped(self, times: Sequence[float]) -> bool:
        """Take the present time of each wall clock, and return whether one of them was set."""
        at = self._steady()
        passed = at - self._at
        pairs = zip(self._times, times, strict=False)
        found = any(abs(new - old - passed) > _JUMP_S for old, new in pairs)
        self._at, self._times = at, tuple(times)
        if found:
            self._since = at
        return found

    def trusted(self) -> bool:
        """Return whether no clock has jumped for long enough."""
        return self._steady() - self._since >= self._trusted_after_s
