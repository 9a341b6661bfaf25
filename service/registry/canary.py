"""Routing: which alias answers a request that names no version.

    X-Request-Id --SHA-256--> 0 <= x < 1;  x < share and the canary is ready -> canary
                                           else                             -> stable

The same request id always falls on the same side, so a retry gets the same version, on every
replica that has the same share.
"""

import hashlib
import threading
from collections.abc import Mapping

CANARY = "canary"
"""The alias that a share of the requests goes to."""


def place_of(share_key: str) -> float:
    """Where a key lies between 0 and 1: stable, and spread evenly over many keys."""
    digest = hashlib.sha256(share_key.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


class CanaryShares:
    """The share of each model's requests that its canary answers. Kept in memory only.

    Args:
        default: of a model that has no share of its own.
        of_models: model -> share.
    """

    def __init__(self, default: float, of_models: Mapping[str, float]) -> None:
        self._default = default
        self._of_models = dict(of_models)
        self._lock = threading.Lock()

    def of(self, name: str) -> float:
        """A model's share, 0 to 1."""
        return self._of_models.get(name, self._default)

    def change(self, name: str, share: float) -> None:
        """Give a model another share, from the next request on."""
        with self._lock:
            self._of_models = {**self._of_models, name: share}

    def takes(self, name: str, share_key: str | None) -> bool:
        """Whether the canary is to answer the request of that key."""
        return share_key is not None and place_of(share_key) < self.of(name)
