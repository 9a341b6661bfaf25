"""Canary shares: send a share of the requests that name no version to the alias `canary`.

    X-Request-Id --SHA-256--> 0 <= x < 1;  x < share and the canary is ready -> canary
                                           else                             -> default alias

A request id always falls on the same side, so that a retry gets the same version, on every
replica that has the same share.
"""

import hashlib
import threading
from collections.abc import Mapping

CANARY = "canary"
"""The alias that a share of the requests goes to."""


def position_of(share_key: str) -> float:
    """Map a key to [0, 1): the same in every process, and uniform over many keys."""
    digest = hashlib.sha256(share_key.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48  # 48 bits fit a float exactly


class CanaryShares:
    """The share of each model's requests that its canary answers. Kept in memory only.

    Args:
        default: share of the models that have none of their own, 0 to 1.
        of_models: model -> share, 0 to 1.
    """

    def __init__(self, default: float, of_models: Mapping[str, float]) -> None:
        self._default = default
        self._of_models = dict(of_models)
        self._lock = threading.Lock()

    def of(self, name: str) -> float:
        """Return a model's share, 0 to 1."""
        return self._of_models.get(name, self._default)

    def change(self, name: str, share: float) -> None:
        """Set a model's share, from the next request on."""
        with self._lock:  # two changes at one time must not lose one of them
            self._of_models = {**self._of_models, name: share}

    def takes(self, name: str, share_key: str | None) -> bool:
        """Return whether the canary is to answer the request of that key."""
        return share_key is not None and position_of(share_key) < self.of(name)
