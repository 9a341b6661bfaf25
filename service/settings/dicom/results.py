"""Settings of the DICOM objects that results are written as."""

import zoneinfo
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from service.settings.group import Group


class DicomResultSettings(Group):
    """DICOM objects of results, for which the extra `dicom-results` is needed."""

    PREFIX: ClassVar[str] = "dicom_results_"

    segmentation_type: Literal["BINARY", "LABELMAP"] = "BINARY"
    """Type of segmentations: `BINARY`, which archives and viewers know, or `LABELMAP`, which is
    smaller. Masks that overlap are always `BINARY`."""
    report_class: Literal["COMPREHENSIVE_3D", "COMPREHENSIVE"] = "COMPREHENSIVE_3D"
    """Class of structured reports: Comprehensive 3D SR, or Comprehensive SR for archives that
    refuse it."""
    charset: Literal["source", "utf-8"] = "source"
    """Character set of objects: that of the radiograph where it holds all text, or always UTF-8
    (ISO_IR 192)."""
    preliminary: bool = True
    """Mark reports as PRELIMINARY, and not as FINAL. They are never marked as verified."""
    time_zone: str = ""
    """Zone of the times in radiographs that state no offset, such as `Europe/Berlin`; if empty,
    objects of such radiographs state none either."""
    sides: Literal["asserted", "assumed"] = "asserted"
    """Code left and right only where the header states the orientation (`asserted`), or also where
    the usual display is `assumed`, as for files that state none; in FHIR as well. A site chooses
    the second only if all its radiographs are stored upright and not mirrored."""
    series_number: int = Field(default=9001, ge=1, le=2**31 - 100)
    """Series Number of segmentations; reports of boxes and of findings, heat maps, presentation
    states and secondary captures have the next five."""
    series_prefix: str = Field(default="AI", max_length=32, pattern=r"^[^\\\x00-\x1f\x7f]*$")
    """Begin of every Series Description, such as `AI segmentation`."""

    @field_validator("time_zone")
    @classmethod
    def _known(cls, value: str) -> str:
        if value and value not in zoneinfo.available_timezones():
            raise ValueError("a time zone has a name such as Europe/Berlin")
        return value
