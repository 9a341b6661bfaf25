"""Quota: requests of one client, by rate and by number in progress."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

from service.auth.buckets import Buckets
from service.errors import TooManyRequests
from service.settings import ClientSettings


class Quota:
    """Counts the requests of every client of this process. Used on the event loop only.

    Args:
        settings: limits of one client.

    Attributes:
        is_set: some limit is set.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self._rate = Buckets(settings.rate, settings.burst) if settings.rate else None
        self._most = settings.in_flight
        self._in_flight: Counter[str] = Counter()
        self.is_set = settings.rate > 0 or settings.in_flight > 0

    @contextmanager
    def admitted(self, client: str) -> Iterator[None]:
        """Count one request of a client until the context ends.

        Raises:
            TooManyRequests: the client sends more than it may; nothing is counted.
        """
        if self._most and self._in_flight[client] >= self._most:
            raise TooManyRequests(f"{self._most} requests of this client are in progress")
        if self._rate is not None:
            wait_s = self._rate.wait_s(client)
            if wait_s > 0:
                raise TooManyRequests("this client sends requests too fast", ceil(wait_s))
            self._rate.take(client)
        self._in_flight[client] += 1
        try:
            yield
        finally:
            self._in_flight[client] -= 1
            if not self._in_flight[client]:
                del self._in_flight[client]
