"""Settings of the DICOMweb servers that jobs refer to."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field, field_validator

from service.settings.group import Group


class DicomwebSettings(Group):
    """DICOMweb servers, from which jobs fetch radiographs by reference."""

    PREFIX: ClassVar[str] = "dicomweb_"

    file: Path | None = None
    """TOML file of the servers that jobs may refer to (`docs/jobs.md`); needs the extra
    `gateway`. Every other server is refused. If empty, there are none."""
    timeout_s: float = Field(default=60.0, gt=0, le=3600)
    """Seconds within which an answer of such a server must have arrived completely."""

    @field_validator("file", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value
