"""Options of the DICOM objects: everything about them that a site chooses."""

from dataclasses import dataclass
from typing import Literal

from radiograph.image import Laterality
from service.dicom_results.kinds import ObjectKind
from service.settings import DicomResultSettings

SegmentationType = Literal["BINARY", "LABELMAP"]

_DESCRIPTIONS = {
    ObjectKind.SEG: "segmentation",
    ObjectKind.SR_BOXES: "boxes",
    ObjectKind.SR_FINDINGS: "findings",
    ObjectKind.HEATMAP: "heat maps",
    ObjectKind.GSPS: "boxes, presentation state",
    ObjectKind.SC: "overlay",
}


@dataclass(frozen=True)
class DicomResultOptions:
    """Choices of a site; each of them is part of the derived UIDs.

    Attributes:
        segmentation_type: `BINARY`, or `LABELMAP`, which many archives and viewers do not know.
        report_class: `COMPREHENSIVE_3D` SR, or `COMPREHENSIVE` SR for archives without it.
        charset: `source` keeps the character set of the radiograph if it holds all text of the
            object; `utf-8` always writes ISO_IR 192.
        preliminary: Preliminary Flag (0040,A496) of reports is PRELIMINARY, and not FINAL.
        time_zone: IANA name of the zone of the radiograph's times if it states no offset; empty
            leaves the offset out.
        sides: evidence from which on left and right are coded: `asserted` by the header, or
            `assumed` as radiographs are usually displayed.
        series_number: Series Number (0020,0011) of the first kind; the others follow.
        series_prefix: begin of Series Description (0008,103E).
    """

    segmentation_type: SegmentationType = "BINARY"
    report_class: Literal["COMPREHENSIVE_3D", "COMPREHENSIVE"] = "COMPREHENSIVE_3D"
    charset: Literal["source", "utf-8"] = "source"
    preliminary: bool = True
    time_zone: str = ""
    sides: Literal["asserted", "assumed"] = "asserted"
    series_number: int = 9001
    series_prefix: str = "AI"

    @classmethod
    def of(cls, settings: DicomResultSettings) -> "DicomResultOptions":
        """Return the options that the settings of the service ask for."""
        return cls(**settings.model_dump())

    def codes_sides(self, laterality: Laterality) -> bool:
        """Return whether objects code the sides of an image with this evidence for them."""
        return laterality == "asserted" or laterality == self.sides

    def number_of(self, kind: ObjectKind) -> int:
        """Return the Series Number of a kind of objects."""
        return self.series_number + tuple(ObjectKind).index(kind)

    def description_of(self, kind: ObjectKind) -> str:
        """Return the Series Description of a kind of objects."""
        return f"{self.series_prefix} {_DESCRIPTIONS[kind]}".strip()
