"""Attempts: slows down a source that sends wrong tokens.

    wrong token --> one token less in the bucket of its source --empty--> 429 before any check

A source may be a proxy with many clients. So a token that was right before is checked all the
same, and nobody waits inside the service: a refusal is immediate and says when to retry.
"""

import hashlib
import ipaddress
from collections import OrderedDict
from collections.abc import Sequence
from math import ceil

from service.auth.buckets import Buckets
from service.errors import TooManyRequests

BURST = 10
"""Wrong tokens of one source that are answered with 401 before it is slowed down."""
RATE_PER_S = 1 / 6
_MAX_RIGHT = 4096
_IPV6_PREFIX = 64
"""Bits of an address that one subscriber shares."""


class Attempts:
    """Remembers which sources sent wrong tokens lately. Used on the event loop only."""

    def __init__(self) -> None:
        self._buckets = Buckets(RATE_PER_S, BURST)
        self._right: OrderedDict[bytes, None] = OrderedDict()

    def check(self, source: str, authorization: Sequence[str]) -> None:
        """Refuse a token of a source that sent too many wrong ones, unless it was right before.

        Raises:
            TooManyRequests: the source has to wait.
        """
        wait_s = self._buckets.wait_s(network(source))
        if wait_s > 0 and _digest(authorization) not in self._right:
            raise TooManyRequests("too many wrong tokens from this address", ceil(wait_s))

    def right(self, authorization: Sequence[str]) -> None:
        """Remember a token that was right."""
        digest = _digest(authorization)
        self._right[digest] = None
        self._right.move_to_end(digest)
        while len(self._right) > _MAX_RIGHT:
            self._right.popitem(last=False)

    def wrong(self, source: str, authorization: Sequence[str]) -> None:
        """Count a wrong token of a source."""
        self._right.pop(_digest(authorization), None)
        self._buckets.take(network(source))


def network(source: str) -> str:
    """Return the network of an address: itself, or its /64 in IPv6."""
    address = _address(source)
    if address is None:
        return "unknown"
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))


def kind(source: str) -> str:
    """Return the kind of an address: `loopback`, `private`, `public` or `unknown`."""
    address = _address(source)
    if address is None:
        return "unknown"
    if address.is_loopback:
        return "loopback"
    return "private" if address.is_private else "public"


def _address(source: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped


def _digest(authorization: Sequence[str]) -> bytes:
    return hashlib.sha256("\0".join(authorization).encode()).digest()
