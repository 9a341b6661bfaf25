"""Files of API keys, and the headers that send them."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from service.auth import key_file
from service.auth.keys import ApiKey, KeySet, new_key
from service.auth.principal import Scope

CREATED = datetime(2026, 1, 2, tzinfo=UTC)


def add(path: Path, owner: str, *scopes: Scope, expired: bool = False) -> tuple[ApiKey, str]:
    """Add a key to a file; return it and its token."""
    expires = CREATED + timedelta(days=1) if expired else None
    key, token = new_key(owner, scopes or tuple(Scope), CREATED, expires)
    key_file.change(path, lambda before: KeySet(keys=(*before.keys, key)))
    return key, token


def client_headers(path: Path, owner: str, *scopes: Scope) -> dict[str, str]:
    """Add a key to a file; return the header that sends it."""
    return bearer(add(path, owner, *scopes)[1])


def bearer(token: str) -> dict[str, str]:
    """Return the header that sends a token."""
    return {"authorization": f"Bearer {token}"}


def remove(path: Path, keys: Iterable[ApiKey]) -> None:
    """Remove keys from a file."""
    gone = {key.id for key in keys}
    key_file.change(
        path, lambda before: KeySet(keys=tuple(key for key in before.keys if key.id not in gone))
    )
