"""Settings of the audit log."""

import platform
import re
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from service.settings.group import Group

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]")


def _host() -> str:
    """Return the name of this host, as far as it fits the name of a chain."""
    return _NOT_IN_A_NAME.sub("-", platform.node())[:64] or "service"


class AuditSettings(Group):
    """Audit log; off unless `audit_file` or `audit_url` is set."""

    PREFIX: ClassVar[str] = "audit_"

    file: Path | None = None
    """SQLite file of the audit log. If neither this nor `audit_url` is set, nothing is audited."""
    url: SecretStr | None = None
    """URL of a PostgreSQL audit log, `postgresql+psycopg://...`, instead of `audit_file`."""
    failure: Literal["refuse", "continue"] = "refuse"
    """While the log cannot be written: `refuse` answers 503, as an answer is given only after its
    entry is on disk; `continue` answers, and writes entries afterwards."""
    writer: str = Field(default_factory=_host, pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """Name of the chain that this process writes; by default, the name of the host."""
    key_file: Path | None = None
    """File of the secret key of the pseudonyms, 64 hexadecimal digits. By default it is made beside
    `audit_file`; `audit_url` requires it."""
    syslog: str | None = Field(default=None, pattern=r"^[^\s/:]+:[0-9]{1,5}$")
    """Audit repository, HOST:PORT, that gets DICOM Audit Messages by syslog over TLS."""
    syslog_ca_file: Path | None = None
    """PEM file of the authorities that may sign its certificate; by default, the system's."""
    syslog_certificate_file: Path | None = None
    """PEM file of the certificate and key that the service shows to the audit repository."""

    @field_validator("file", "url", "key_file", "syslog", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @model_validator(mode="after")
    def _one_log_with_a_key(self) -> "AuditSettings":
        if self.file is not None and self.url is not None:
            raise ValueError("set audit_file or audit_url, not both")
        if self.url is not None and self.key_file is None:
            raise ValueError("audit_url requires audit_key_file")
        if self.syslog is not None and not self.enabled:
            raise ValueError("audit_syslog requires audit_file or audit_url")
        return self

    @property
    def enabled(self) -> bool:
        """True if there is an audit log."""
        return self.file is not None or self.url is not None
