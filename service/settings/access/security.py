"""Settings of access to the service."""

import re
from pathlib import Path
from typing import Literal

from pydantic import SecretStr, field_validator

from service.settings.group import Group

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,512}")


class SecuritySettings(Group):
    """Credentials of clients."""

    admin_token: SecretStr | None = None
    """Bearer token of clients that may change aliases and canary shares; if empty, none may."""

    keys_file: Path | None = None
    """File of the API keys that clients may send, which `g2d keys` writes. The service follows
    changes of it within seconds."""
    allow_anonymous: bool = False
    """Serve clients that send no token, except for administration, also where others have keys.
    Without it, a service without `keys_file` and `oidc_issuer` listens on the local host only."""

    log_refused_source: Literal["none", "kind", "address"] = "kind"
    """Source of a wrong token in its log line: its kind (`loopback`, `private`, `public`), its
    address, or nothing."""

    @field_validator("keys_file", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("admin_token")
    @classmethod
    def _hard_to_guess(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if not _TOKEN.fullmatch(value.get_secret_value()):
            raise ValueError("a token must have 16 to 512 letters, digits or characters of -._~+/=")
        return value
