"""API keys: what a client sends, and what is kept of it.

    Authorization: Bearer g2d_<id>_<secret> --> ApiKey of the id --> SHA-256 of the secret equal?

A secret has 256 random bits, which nobody can guess, so that one round of SHA-256 hides it. The
slow hashes that passwords need would cost every request and add nothing.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from radiograph.strict_model import StrictModel
from service.auth.principal import Principal, Scope
from service.errors import NotAuthorised

PREFIX = "g2d_"
OWNER = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}"
"""Pattern of an owner; it stands in logs."""

_TOKEN = re.compile(r"g2d_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_NO_KEY = "0" * 64


class ApiKey(StrictModel):
    """One key as it is kept: everything but its secret.

    Attributes:
        id: identifier, which is part of the key.
        owner: client to whom the key belongs; keys of one owner share their jobs.
        scopes: what the client may do.
        created: time of creation.
        expires: time after which the key is refused, or None for a key without an end.
        sha256: digest of the secret.
    """

    id: str = Field(pattern=r"^[0-9a-f]{16}$")
    owner: str = Field(pattern=f"^{OWNER}$")
    scopes: tuple[Scope, ...] = Field(min_length=1)
    created: AwareDatetime
    expires: AwareDatetime | None
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    def principal(self) -> Principal:
        """Return the client that sends this key."""
        return Principal(f"key:{self.id}", frozenset(self.scopes), f"key:{self.owner}")


class KeySet(StrictModel):
    """Content of a file of keys.

    Attributes:
        version: version of the format.
        keys: all keys; each identifier occurs once.
    """

    version: Literal[1] = 1
    keys: tuple[ApiKey, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len({key.id for key in self.keys}) != len(self.keys):
            raise ValueError("two keys have the same identifier")
        return self


def new_key(
    owner: str, scopes: Iterable[Scope], created: datetime, expires: datetime | None
) -> tuple[ApiKey, str]:
    """Return a new key, and what its client has to send, which is kept nowhere."""
    name, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    key = ApiKey(
        id=name,
        owner=owner,
        scopes=tuple(sorted(set(scopes))),
        created=created,
        expires=expires,
        sha256=_digest(secret),
    )
    return key, f"{PREFIX}{name}_{secret}"


def verify(keys: Mapping[str, ApiKey], token: str) -> Principal:
    """Return the client that sent a key.

    Args:
        keys: known keys by their identifier.
        token: key as it was received.

    Raises:
        NotAuthorised: the key is malformed, unknown or expired.
    """
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise NotAuthorised("the API key is malformed", "malformed")
    key = keys.get(found[1])
    # An unknown identifier takes the same time as a wrong secret.
    expected = _NO_KEY if key is None else key.sha256
    if not hmac.compare_digest(_digest(found[2]), expected) or key is None:
        raise NotAuthorised("the API key is not known", "unknown")
    if key.expires is not None and key.expires <= datetime.now(UTC):
        raise NotAuthorised("the API key has expired", "expired")
    return key.principal()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
