"""FHIR encoder: an analysis result as a Bundle of the release that was asked for.

    Bundle (collection)
      DiagnosticReport --result--> Observation ... --device--> Device
             '------- subject, study: by identifier -------'

Every identifier is derived from the bytes of the file, the version of the model, and what was
asked, so that the same question has the same document but for its time. Nothing but Patient ID and
its issuer, Study Instance UID and Study Date is taken from the header, and nothing at all from a
file that is no DICOM.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal
from uuid import UUID, uuid5

from pydantic_core import to_json

from radiograph.study import StudyIdentity
from service.encoders.fhir import concepts
from service.encoders.fhir.observations import statements
from service.encoders.fhir.resources import (
    Bundle,
    Device,
    DeviceName,
    DeviceVersion,
    DiagnosticReport,
    Entry,
    Identifier,
    Observation,
    Reference,
)
from service.inference.results import AnalysisResult

Release = Literal["4.3", "5.0"]
"""Release of FHIR by the number that `fhirVersion` has: R4B or R5."""

MEDIA_TYPES: dict[str, Release] = {
    "application/fhir+json; fhirVersion=4.3": "4.3",
    "application/fhir+json; fhirVersion=5.0": "5.0",
}
"""Media types that are offered; the first is the answer to `application/fhir+json` alone."""

_ENCODING = "1"
"""Changed whenever the same result gets another document, so that its identifiers change too."""
_NAMESPACE = UUID("354c8e32-580e-4cb3-bb03-f854a3a9ca72")
_DIGEST = "urn:g2d:model-digest"
_RFC_3986 = "urn:ietf:rfc:3986"
_DICOM_UID = "urn:dicom:uid"
_ANSWERS = ("findings", "masks", "measurements", "detections", "groundings")
_DISCLAIMER = "Preliminary automated analysis that no physician has confirmed."


def encode(
    result: AnalysisResult,
    input_sha256: str,
    release: Release,
    issued: datetime | None = None,
    *,
    coded_sides: bool,
) -> bytes:
    """Encode a result as the JSON of a Bundle.

    Args:
        result: the result.
        input_sha256: SHA-256 of the file, in hexadecimal.
        release: release of FHIR.
        issued: time of the answer, with its zone; now by default.
        coded_sides: code left and right; otherwise they are text.
    """
    document = _Document(result, input_sha256, release, issued or datetime.now(UTC), coded_sides)
    return document.bundle().json_bytes()


@dataclass(frozen=True)
class _Document:
    """One document while it is built; the arguments are those of `encode`."""

    result: AnalysisResult
    input_sha256: str
    release: Release
    issued: datetime
    coded_sides: bool

    def bundle(self) -> Bundle:
        """Return report, observations and device, each with the address of its identifier."""
        observations = self._observations()
        answered = (name for name in _ANSWERS if getattr(self.result, name) is not None)
        asked = (*answered, *(item.id for item in observations))
        report = self._report(observations, asked)
        bundle_id = self._id("bundle", *asked)
        resources: tuple[Device | DiagnosticReport | Observation, ...]
        resources = (report, *observations, self._device)
        return Bundle(
            id=bundle_id,
            identifier=Identifier(system=_RFC_3986, value=f"urn:uuid:{bundle_id}"),
            timestamp=self.issued,
            entry=tuple(Entry(full_url=f"urn:uuid:{item.id}", resource=item) for item in resources),
        )

    def _id(self, *parts: str) -> str:
        """Return the identifier of a part of the document."""
        model = self.result.model
        seed = (self.input_sha256, model.name, str(model.version), model.digest, model.variant)
        sides = ("sides",) if self.coded_sides else ()
        uncertain = () if self.result.uncertainty is None else ("uncertainty",)
        return _derived(self.release, *seed, *sides, *uncertain, *parts)

    @cached_property
    def _device(self) -> Device:
        model = self.result.model
        described: dict[str, Any] = {
            "4.3": {"device_name": (DeviceName(name=model.name, type="model-name"),)},
            "5.0": {"name": (DeviceName(value=model.name, type="user-friendly-name"),)},
        }[self.release]
        return Device(
            id=_derived(self.release, "device", model.name, str(model.version), model.digest),
            identifier=(Identifier(system=_DIGEST, value=model.digest),),
            version=(DeviceVersion(value=str(model.version)),),
            **described,
        )

    @cached_property
    def _context(self) -> dict[str, Any]:
        """Fields that the report and every observation share."""
        study = self.result.image.study or StudyIdentity()
        return {"subject": _subject(study), "effective_date_time": study.study_date}

    @cached_property
    def _studies(self) -> tuple[Reference, ...] | None:
        study = self.result.image.study
        if study is None or study.study_instance_uid is None:
            return None
        uid = f"urn:oid:{study.study_instance_uid}"
        identifier = Identifier(system=_DICOM_UID, value=uid)
        return (Reference(type="ImagingStudy", identifier=identifier),)

    def _observations(self) -> tuple[Observation, ...]:
        seen: Counter[tuple[str, ...]] = Counter()

        def number(name: tuple[str, ...]) -> str:
            seen[name] += 1
            return str(seen[name])

        return tuple(
            Observation(
                id=self._id(*name, number(name)),
                category=(concepts.IMAGING,),
                device=_to(self._device),
                derived_from=self._studies,
                **self._context,
                **fields,
            )
            for name, fields in statements(self.result, coded_sides=self.coded_sides)
        )

    def _report(
        self, observations: tuple[Observation, ...], asked: tuple[str, ...]
    ) -> DiagnosticReport:
        studies = {"4.3": "imaging_study", "5.0": "study"}[self.release]
        return DiagnosticReport(
            id=self._id("report", *asked),
            category=(concepts.RADIOLOGY,),
            code=concepts.STUDY,
            issued=self.issued,
            result=tuple(_to(item) for item in observations) or None,
            conclusion=_conclusion(self.result),
            **{studies: self._studies},
            **self._context,
        )


def _subject(study: StudyIdentity) -> Reference | None:
    """Return the patient by identifier; without a Patient ID there is none."""
    if study.patient_id is None:
        return None
    issuer = study.issuer_of_patient_id
    identifier = Identifier(
        type=concepts.MEDICAL_RECORD,
        value=study.patient_id,
        assigner=None if issuer is None else Reference(display=issuer),
    )
    return Reference(type="Patient", identifier=identifier)


def _conclusion(result: AnalysisResult) -> str:
    """Return the positive findings and the cautions in words."""
    parts = [_DISCLAIMER]
    if result.findings is not None:
        found = [
            f"{item.name} ({item.probability:.2f})" for item in result.findings if item.positive
        ]
        parts.append(f"Findings present: {', '.join(found) or 'none'}.")
    parts += [f"Caution: {notice.message}" for notice in result.warnings]
    return " ".join(parts)


def _to(resource: Device | Observation) -> Reference:
    return Reference(reference=f"urn:uuid:{resource.id}", type=resource.resource_type)


def _derived(*parts: str) -> str:
    return str(uuid5(_NAMESPACE, to_json((_ENCODING, *parts)).decode()))
