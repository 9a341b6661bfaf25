"""DICOM objects as the service answers with: small, but of the real SOP classes.

An object's UID follows from the radiograph and its kind, and so does its content, as those of the
service do.
"""

import hashlib
from io import BytesIO

from pydicom import dcmread, uid
from pydicom.dataset import Dataset, FileMetaDataset

from service.gateway.storage.records import LABELMAP_SEGMENTATION

CLASSES = {
    "seg": uid.SegmentationStorage,
    "labelmap": LABELMAP_SEGMENTATION,
    "sr": uid.Comprehensive3DSRStorage,
    "gsps": uid.GrayscaleSoftcopyPresentationStateStorage,
    "sc": uid.SecondaryCaptureImageStorage,
}


def result_uid(source: str, kind: str) -> str:
    """Return the UID of the object of a kind that is made of a radiograph."""
    digest = hashlib.sha256(f"{kind} of {source}".encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16])}"


def result(radiograph: bytes, kind: str) -> bytes:
    """Return the object of a kind that is made of a radiograph."""
    source = dcmread(BytesIO(radiograph), stop_before_pixels=True)
    made = Dataset()
    made.SOPClassUID = CLASSES[kind]
    made.SOPInstanceUID = result_uid(source.SOPInstanceUID, kind)
    made.StudyInstanceUID = source.StudyInstanceUID
    made.SeriesInstanceUID = result_uid(source.SOPInstanceUID, f"series {kind}")
    made.PatientID = source.get("PatientID", "")
    made.Modality = {"sr": "SR", "gsps": "PR", "sc": "OT"}.get(kind, "SEG")
    if made.Modality == "SEG":
        made.SegmentationType = "BINARY" if kind == "seg" else "LABELMAP"
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    buffer = BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
