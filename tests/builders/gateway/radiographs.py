"""Radiographs that a PACS sends, each with identifiers of its own."""

from io import BytesIO
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.builders.files.dicom_files import dicom, ramp

ROOT = "1.2.826.0.1.3680043.8.498"


def radiograph(number: int = 1, **attributes: Any) -> bytes:
    """Return the file of a small CR radiograph; attributes replace those of the header."""
    given = {
        "SOPInstanceUID": f"{ROOT}.1.{number}",
        "StudyInstanceUID": f"{ROOT}.2.{number}",
        "SeriesInstanceUID": f"{ROOT}.3.{number}",
    }
    return dicom(ramp(), **(given | attributes))


def parsed(data: bytes) -> Dataset:
    """Return a file as pydicom reads it, ready to be sent."""
    return dcmread(BytesIO(data))
