"""UIDs that follow from what an object is made of.

    source's SOP Instance UID, its copied header, model digest, tasks, phrases, options, encoder
        --SHA-256--> 2.25.(128 bits)

So a request that is repeated gives the same object, while a corrected header, another version of
the model or of this package gives a new one: archives drop a second object of one UID silently.

Source: DICOM PS3.5 section B.2 (UUID derived UID).
"""

import dataclasses
import hashlib
from dataclasses import dataclass

from service.dicom_results.kinds import ObjectKind
from service.dicom_results.options import DicomResultOptions
from service.dicom_results.source import SourceHeader
from service.inference.results import AnalysisResult

ENCODER_VERSION = "3"
"""Raised with every change of the bytes that are written for the same result."""


@dataclass(frozen=True)
class DerivedUids:
    """UIDs of one object; equal inputs give equal UIDs.

    Attributes:
        seed: everything that the object is made of.
    """

    seed: str

    @classmethod
    def of(
        cls,
        kind: ObjectKind,
        result: AnalysisResult,
        source: SourceHeader,
        options: DicomResultOptions,
    ) -> "DerivedUids":
        """Return the UIDs of the object of a kind."""
        image = result.image
        members = (
            ENCODER_VERSION,
            kind.value,
            source.sop_instance_uid,
            source.digest,
            result.model.digest,
            _answered(result),
            (image.rows, image.columns, image.spacing_mm or image.aspect_ratio, image.laterality),
            None if result.preview is None else result.preview.shape,
            dataclasses.astuple(options),
        )
        return cls(repr(members))

    def uid(self, purpose: str) -> str:
        """Return the UID for a purpose, such as `instance` or `series`."""
        return _uid_of(f"{purpose}\0{self.seed}")

    @staticmethod
    def device_uid(digest: str) -> str:
        """Return the UID of a version of a model, by its digest."""
        return _uid_of(f"device\0{digest}")


def _uid_of(text: str) -> str:
    return f"2.25.{int.from_bytes(hashlib.sha256(text.encode()).digest()[:16])}"


def _answered(result: AnalysisResult) -> tuple[object, ...]:
    """Return the tasks that were answered and the phrases that were located."""
    phrases = tuple((item.phrase, item.method) for item in result.groundings or ())
    tasks = (result.findings, result.masks, result.detections, result.groundings)
    return (*(task is not None for task in tasks), phrases)
