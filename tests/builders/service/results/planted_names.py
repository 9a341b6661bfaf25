"""Planted names: files that hold one wherever a file can, and everything that a service writes."""

import io
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.observability.metrics.service_metrics import Metrics
from service.observability.tracing.otel import Otel
from tests.builders.files import sample_files
from tests.fixtures.service import COLUMNS, RECTANGLE, ROWS

PATIENT = "Quisquilia^Xanthippe"
PATIENT_ID = "PID90210ZQ"
UID = "1.2.840.99999.424242.777"
PHRASE = "bright zebrafinch"
SECRETS = ("quisquilia", "xanthippe", "pid90210zq", "424242", "zebrafinch")


@dataclass
class Outputs:
    """Every output of a service except for its answers."""

    log: io.StringIO = field(default_factory=io.StringIO)
    spans: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    metrics: Metrics = field(default_factory=Metrics)
    problems: list[str] = field(default_factory=list)
    audit: Path = Path("audit.sqlite")

    def everything(self) -> str:
        texts = [span.to_json() for span in self.spans.get_finished_spans()]
        texts += [file.read_bytes().decode("latin-1") for file in self.audit_files()]
        texts += [
            self.metrics.render(accept)[0].decode()
            for accept in ("", "application/openmetrics-text")
        ]
        return "\n".join([*texts, *self.problems, self.log.getvalue()]).lower()

    def audit_files(self) -> list[Path]:
        """Return the files of the audit log: database, write-ahead log and key."""
        return sorted(self.audit.parent.glob(f"{self.audit.name}*"))

    def audited(self, act: str) -> int:
        """Return how many entries of a kind the audit log has."""
        with closing(sqlite3.connect(self.audit)) as connection:
            query = "SELECT count(*) FROM g2d_audit WHERE record LIKE ?"
            (count,) = connection.execute(query, (f'{{"act":"{act}"%',)).fetchone()
        return int(count)

    def leaks(self) -> list[str]:
        """Return the lines that contain patient data."""
        return [
            line
            for line in self.everything().splitlines()
            if any(secret in line for secret in SECRETS)
        ]


def watched(outputs: Outputs, tracing: Otel) -> dict[str, Any]:
    """Return the arguments of `start` for a service whose outputs are all kept."""
    return {"observer": outputs.metrics, "tracing": tracing, "audit_file": outputs.audit}


def file(**elements: Any) -> bytes:
    pixels = sample_files.bright_rectangle(ROWS, COLUMNS, RECTANGLE)
    identity = {
        "PatientName": PATIENT,
        "PatientID": PATIENT_ID,
        "PatientComments": PHRASE,
        "OtherPatientIDs": PATIENT_ID,
        "AccessionNumber": PATIENT_ID,
        "InstitutionName": PATIENT,
        "ReferringPhysicianName": PATIENT,
        "StudyDescription": PHRASE,
        "SeriesDescription": PHRASE,
        "ImageComments": PATIENT,
        "StudyInstanceUID": UID,
        "SeriesInstanceUID": UID,
        "SOPInstanceUID": UID,
    }
    return sample_files.dicom_file(pixels, **(identity | elements))


def by_hand(old: bytes, new: bytes, **elements: Any) -> bytes:
    """Return a file with a value of the same length that pydicom would not write."""
    data = file(**elements)
    assert old in data
    return data.replace(old, new.ljust(len(old))[: len(old)])


BODIES = {
    "sound": file(),
    "cut short": file()[:-5000],
    "cut in the header": file()[:700],
    "name as modality": file(Modality=PATIENT_ID),
    "name as view": file(ViewPosition=PATIENT_ID),
    "name as body part": file(BodyPartExamined=PATIENT_ID),
    "name as photometric interpretation": file(PhotometricInterpretation=PATIENT_ID),
    "identifier as class": file(SOPClassUID=UID),
    "name as image type": file(ImageType=[PATIENT_ID, "ZEBRAFINCH"]),
    "name as annotation": file(BurnedInAnnotation=PATIENT_ID),
    "name as spacing": by_hand(b"1.11111", b"Xanthip", PixelSpacing="1.11111\\1.11111"),
    "name as window": by_hand(b"12345678", b"Xanthippe", WindowCenter="12345678", WindowWidth="5"),
    "name as transfer syntax": by_hand(b"1.2.840.10008.1.2.1\0", b"1.2.840.424242.2.2.1\0"),
    "name as file's identifier": by_hand(b"1.2.826.0.1.3680043.8.498.1", b"Xanthippe"),
    "name as identifier": by_hand(UID.encode(), PATIENT.encode()),
    "no pixels": file(PixelData=b""),
    "only text": PATIENT.encode() * 50,
    "png with a comment": b"\x89PNG\r\n\x1a\n" + PATIENT.encode(),
}
