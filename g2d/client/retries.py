"""Decision whether a request is sent again, and after how long."""

import email.utils
import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

_BUSY = frozenset({429, 502, 503})
"""Too many requests, a proxy without a service behind it, and a service that cannot answer now."""


@dataclass(frozen=True)
class Retries:
    """How often a client sends a request again; questions change nothing, so that this is safe.

    A response that names a time (`Retry-After`) is obeyed. Other failures wait twice as long each
    time, and a random part of that, so that clients do not come back all at once.

    Attributes:
        times: largest number of further attempts; 0 for none.
        first_wait_s: longest wait before the second attempt.
        longest_wait_s: longest wait; a service that asks for more is not waited for.
    """

    times: int = 4
    first_wait_s: float = 0.5
    longest_wait_s: float = 60.0

    def wait_s(self, done: int, outcome: httpx.Response | httpx.HTTPError) -> float | None:
        """Return the seconds to wait before the next attempt, or None if there is to be none.

        Args:
            done: number of attempts so far.
            outcome: response or failure of the last one.
        """
        if done > self.times or not _may_pass(outcome):
            return None
        asked = retry_after_s(outcome) if isinstance(outcome, httpx.Response) else None
        if asked is not None:
            return asked if asked <= self.longest_wait_s else None
        ceiling = min(self.first_wait_s * 2 ** (done - 1), self.longest_wait_s)
        return random.uniform(ceiling / 2, ceiling)  # noqa: S311 - not for a secret


def retry_after_s(response: httpx.Response) -> float | None:
    """Return the seconds of `Retry-After`, a number or a date; None without a usable one.

    Source: RFC 9110, section 10.2.3.
    """
    value = response.headers.get("Retry-After", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = email.utils.parsedate_to_datetime(value)
        except ValueError:
            return None
        aware = date if date.tzinfo else date.replace(tzinfo=UTC)
        seconds = (aware - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _may_pass(outcome: httpx.Response | httpx.HTTPError) -> bool:
    """Return whether the next attempt may have another outcome; a timeout is not tried again."""
    if isinstance(outcome, httpx.Response):
        return outcome.status_code in _BUSY
    return isinstance(outcome, httpx.ConnectError | httpx.ReadError | httpx.RemoteProtocolError)
