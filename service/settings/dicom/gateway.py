"""Settings of the gateway between a PACS and the service."""

from pathlib import Path
from typing import ClassVar

from pydantic import field_validator

from service.settings.group import Group


class GatewaySettings(Group):
    """Gateway; everything else about it is in its file."""

    PREFIX: ClassVar[str] = "gateway_"

    file: Path | None = None
    """TOML file of `g2d gateway`, described in docs/pacs.md."""

    @field_validator("file", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value
