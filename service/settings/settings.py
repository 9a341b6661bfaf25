"""All settings of the service, by group and by flat name."""

import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any, get_type_hints

from pydantic import Field, ValidationError

from radiograph.strict_model import StrictModel
from service.errors import InvalidSettings
from service.settings.access.audit import AuditSettings
from service.settings.access.clients import ClientSettings
from service.settings.access.oidc import OidcSettings
from service.settings.access.security import SecuritySettings
from service.settings.access.web import TlsSettings, WebSettings
from service.settings.compute import BatchingSettings, DecodingSettings, RuntimeSettings
from service.settings.dicom.dicomweb import DicomwebSettings
from service.settings.dicom.gateway import GatewaySettings
from service.settings.dicom.results import DicomResultSettings
from service.settings.group import Group
from service.settings.jobs import JobSettings
from service.settings.limits import LimitSettings
from service.settings.models import ModelSettings
from service.settings.server import ServerSettings
from service.settings.triton import TritonSettings

logger = logging.getLogger("g2d.settings")

PREFIX = "G2D_"


class Settings(StrictModel):
    """All settings of the service, in groups. Frozen; the caller of `create_app` builds them once.

    Outside the groups a setting has a flat name: the prefix of its group and the field, such as
    `jobs_dir`.
    """

    server: ServerSettings = Field(default_factory=ServerSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    security: SecuritySettings = Field(default_factory=SecuritySettings)
    oidc: OidcSettings = Field(default_factory=OidcSettings)
    clients: ClientSettings = Field(default_factory=ClientSettings)
    tls: TlsSettings = Field(default_factory=TlsSettings)
    web: WebSettings = Field(default_factory=WebSettings)
    models: ModelSettings = Field(default_factory=ModelSettings)
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
    batching: BatchingSettings = Field(default_factory=BatchingSettings)
    decoding: DecodingSettings = Field(default_factory=DecodingSettings)
    triton: TritonSettings = Field(default_factory=TritonSettings)
    jobs: JobSettings = Field(default_factory=JobSettings)
    dicomweb: DicomwebSettings = Field(default_factory=DicomwebSettings)
    audit: AuditSettings = Field(default_factory=AuditSettings)
    gateway: GatewaySettings = Field(default_factory=GatewaySettings)
    dicom_results: DicomResultSettings = Field(default_factory=DicomResultSettings)

    @property
    def authenticates(self) -> bool:
        """Clients can have credentials of their own, apart from the token of administration."""
        return self.security.keys_file is not None or self.oidc.issuer is not None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings from environment variables.

        Raises:
            InvalidSettings: a variable has an invalid value.
        """
        environ = os.environ if environ is None else environ
        given = {
            name.removeprefix(PREFIX).lower(): value
            for name, value in environ.items()
            if name.startswith(PREFIX)
        }
        # Docker Compose and Kubernetes use variables with this prefix for purposes of their own.
        if unknown := sorted(set(given) - set(OPTIONS)):
            logger.warning("unknown settings are ignored: %s", unknown)
        return cls.of(**{name: given[name] for name in given.keys() - set(unknown)})

    @classmethod
    def of(cls, **options: object) -> "Settings":
        """Build settings from values by flat name; all others have their defaults.

        Raises:
            InvalidSettings: a name is unknown or a value is invalid.
        """
        return cls._build({}, options)

    def changed(self, **options: object) -> "Settings":
        """Return a copy with other values by flat name; a value of None changes nothing.

        Raises:
            InvalidSettings: a name is unknown or a value is invalid.
        """
        changes = {name: value for name, value in options.items() if value is not None}
        return self._build(self.model_dump(), changes)

    @classmethod
    def _build(cls, base: dict[str, dict[str, Any]], options: Mapping[str, object]) -> "Settings":
        if unknown := sorted(set(options) - set(OPTIONS)):
            raise InvalidSettings(f"unknown settings: {', '.join(unknown)}")
        groups = {name: dict(values) for name, values in base.items()}
        for option, value in options.items():
            group, field = OPTIONS[option]
            groups.setdefault(group, {})[field] = value
        try:
            return cls.model_validate(groups)
        except ValidationError as error:
            raise InvalidSettings(_explain(error)) from error


def _options() -> Iterator[tuple[str, tuple[str, str]]]:
    for name, group in get_type_hints(Settings).items():
        if isinstance(group, type) and issubclass(group, Group):
            for field in group.model_fields:
                yield f"{group.PREFIX}{field}", (name, field)


OPTIONS: Mapping[str, tuple[str, str]] = dict(_options())
"""Flat name of every setting -> its group and its field."""


def _explain(error: ValidationError) -> str:
    """Return every invalid value's reason, under the name of its environment variable."""
    names = {place: option for option, place in OPTIONS.items()}
    reasons = []
    for item in error.errors():
        group, field, *_ = (*map(str, item["loc"]), "")
        option = names.get((group, field), group)
        reasons.append(f"{PREFIX}{option.upper()}: {item['msg']}")
    return "; ".join(reasons)
