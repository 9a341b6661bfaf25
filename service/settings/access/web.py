"""Settings of TLS and of what browsers may do."""

import re
from pathlib import Path
from typing import ClassVar, Self

from pydantic import field_validator, model_validator

from service.settings.group import Group

ROOT_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
"""Path below which a proxy shows the service; no segment begins with a dot."""


class TlsSettings(Group):
    """Encryption by the service itself; behind a proxy that does it, leave these empty."""

    PREFIX: ClassVar[str] = "tls_"

    certificate_file: Path | None = None
    """PEM file of the certificate and its chain; with it, the service answers https only. Changed
    files are used for new connections within seconds."""
    key_file: Path | None = None
    """PEM file of the private key, which must not be encrypted; required with
    `tls_certificate_file`."""

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("set both G2D_TLS_CERTIFICATE_FILE and G2D_TLS_KEY_FILE")
        return self


class WebSettings(Group):
    """Names and path of this host, and other sites that may use it."""

    allowed_hosts: tuple[str, ...] = ()
    """Names that the header `Host` may have, `g2d.example.org,*.clinic.example`; empty allows all.
    Probes and `/metrics` are exempt, because orchestrators call them by address."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the service, `https://viewer.example.org`; `*` allows all, and
    empty none but its own."""

    root_path: str = ""
    """Path below which a proxy shows the service, such as `/g2d`, whether the proxy strips it or
    not. Empty for none, or for that in `X-Forwarded-Prefix` of a proxy in `FORWARDED_ALLOW_IPS`."""

    @field_validator("root_path")
    @classmethod
    def _is_a_path(cls, value: str) -> str:
        value = value.rstrip("/")
        if value and not ROOT_PATH.fullmatch(value):
            raise ValueError("should be a path such as /g2d")
        return value

    @field_validator("allowed_hosts", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value
