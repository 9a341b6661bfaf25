"""Public keys of an identity provider, fetched off the event loop and kept while it is away.

    find(kid) --known and fresh--> key
         '--unknown, or older than 5 min--> fetch, one at a time and not more often than every 10 s

A flood of tokens with made-up key identifiers thus costs one fetch every 10 s.
"""

import asyncio
import logging
import time
from collections.abc import Mapping

from jwt import PyJWK, PyJWKClient, PyJWKSet
from jwt.exceptions import PyJWTError

from service.errors import IdentityProviderUnavailable, NotAuthorised
from service.settings import OidcSettings

logger = logging.getLogger("g2d.access")

COOLDOWN_S = 10.0
FRESH_S = 300.0
USABLE_S = 3600.0
"""Seconds for which keys stay valid that cannot be fetched again."""
_ASYMMETRIC = ("RSA", "EC", "OKP")


class SigningKeys:
    """The keys with which an issuer signs. Used on the event loop only.

    Args:
        settings: settings with the URL or the file of the keys.
    """

    def __init__(self, settings: OidcSettings) -> None:
        self._file = settings.jwks_file
        self._timeout_s = settings.timeout_s
        self._url = settings.jwks or ""
        self._keys: Mapping[str, PyJWK] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._failed = False
        self._lock = asyncio.Lock()

    async def find(self, kid: str) -> PyJWK:
        """Return the key with an identifier.

        Raises:
            NotAuthorised: the issuer has no such key.
            IdentityProviderUnavailable: the keys cannot be fetched.
        """
        if self._is_wanting(kid):
            async with self._lock:  # requests wait for a fetch that is under way
                if self._is_wanting(kid) and time.monotonic() - self._tried_at >= COOLDOWN_S:
                    await self._fetch()
        usable = time.monotonic() - self._fetched_at < USABLE_S
        if usable and kid in self._keys:
            return self._keys[kid]
        if self._failed or not usable:
            raise IdentityProviderUnavailable(
                "the keys of the identity provider cannot be fetched", round(COOLDOWN_S)
            )
        raise NotAuthorised("the token is signed with a key that its issuer does not have", "key")

    def _is_wanting(self, kid: str) -> bool:
        """Return whether a key is missing or old."""
        return kid not in self._keys or time.monotonic() - self._fetched_at >= FRESH_S

    async def _fetch(self) -> None:
        self._tried_at = time.monotonic()
        try:
            # The library's timeout holds for each read; a server that trickles meets this one.
            async with asyncio.timeout(2 * self._timeout_s):
                self._keys = await asyncio.to_thread(self._load)
        except (PyJWTError, OSError, ValueError, RecursionError) as error:
            self._failed = True
            logger.error("fetching the keys of the issuer failed: %s", type(error).__name__)
            return
        self._fetched_at = time.monotonic()
        self._failed = False

    def _load(self) -> dict[str, PyJWK]:
        """Return the usable keys by identifier. A symmetric key is none: it would be public."""
        if self._file is not None:
            found = PyJWKSet.from_json(self._file.read_text()).keys
        else:
            client = PyJWKClient(self._url, cache_jwk_set=False, timeout=self._timeout_s)
            found = client.get_signing_keys()
        return {
            key.key_id: key
            for key in found
            if key.key_id and key.key_type in _ASYMMETRIC and key.public_key_use in ("sig", None)
        }
