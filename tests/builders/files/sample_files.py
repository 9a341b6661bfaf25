"""Radiographs as DICOM, PNG and JPEG files in memory, made from arrays."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

Pixels = NDArray[np.uint16]


def bright_rectangle(
    rows: int, columns: int, box: tuple[int, int, int, int], maximum: int = 4095
) -> Pixels:
    """Return a black image with a rectangle (x0, y0, x1, y1) of the highest value."""
    pixels = np.zeros((rows, columns), dtype=np.uint16)
    pixels[box[1] : box[3], box[0] : box[2]] = maximum
    return pixels


def dicom_file(
    pixels: Pixels, photometric_interpretation: str = "MONOCHROME2", **elements: Any
) -> bytes:
    """Return a DX object of 12 bits and 0.2 mm pixels; `elements` by keyword override its own."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = UID("1.2.826.0.1.3680043.8.498.1")
    dataset = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    values: dict[str, Any] = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "PatientName": "Doe^Jane",
        "PatientID": "SECRET-4711",
        "Modality": "DX",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "PixelSpacing": [0.2, 0.2],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": photometric_interpretation,
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelData": pixels.tobytes(),
    }
    for keyword, value in (values | elements).items():
        setattr(dataset, keyword, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def png_file(pixels: Pixels) -> bytes:
    """Return a 16-bit grayscale PNG."""
    return _image_file(Image.fromarray(pixels), "PNG")


def jpeg_file(pixels: Pixels) -> bytes:
    """Return an 8-bit grayscale JPEG of 12-bit pixels."""
    return _image_file(Image.fromarray((pixels >> 4).astype(np.uint8)), "JPEG")


def colour_png_file(rows: int = 32, columns: int = 32) -> bytes:
    """Return a PNG whose channels differ."""
    return _image_file(Image.new("RGB", (columns, rows), (200, 30, 30)), "PNG")


def _image_file(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()
