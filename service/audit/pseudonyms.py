"""Pseudonyms: an identifier as its HMAC-SHA256 under a secret key, never the identifier itself.

The same key gives the same pseudonym, so that whoever holds key and identifier finds its entries.
Processes that share a log share the key. Without the key a pseudonym tells nothing; a plain digest
could be found by trying identifiers.
"""

import hmac
import os
import re
import secrets
from pathlib import Path

from service.errors import InvalidSettings

_HEX = re.compile(rb"\s*([0-9a-f]{64,128})\s*", re.IGNORECASE)


class Pseudonyms:
    """Pseudonyms under one key.

    Args:
        key: secret of at least 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, identifier: str | None) -> str | None:
        """Return the pseudonym of an identifier in hexadecimal; None of None."""
        if identifier is None:
            return None
        return hmac.digest(self._key, identifier.encode(), "sha256").hex()


def read_key(file: Path) -> bytes:
    """Return the key in a file of 64 to 128 hexadecimal digits, as `openssl rand -hex 32` gives it.

    Raises:
        InvalidSettings: the file cannot be read, or holds no key.
    """
    try:
        text = file.read_bytes()
    except OSError as error:
        raise InvalidSettings(f"G2D_AUDIT_KEY_FILE: {error.strerror}") from error
    found = _HEX.fullmatch(text)
    if found is None or len(found[1]) % 2:
        raise InvalidSettings("G2D_AUDIT_KEY_FILE must hold 64 to 128 hexadecimal digits")
    return bytes.fromhex(found[1].decode())


def ensure_key(file: Path) -> bytes:
    """Return the key in a file, which is made with a new key if it does not exist.

    Raises:
        InvalidSettings: the file cannot be made or read, or holds no key.
    """
    try:
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return read_key(file)
    except OSError as error:
        raise InvalidSettings(f"G2D_AUDIT_KEY_FILE: {error.strerror}") from error
    with os.fdopen(opened, "w") as stream:
        stream.write(secrets.token_hex(32) + "\n")
    return read_key(file)
