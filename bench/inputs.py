"""Input files of the benchmark: synthetic radiographs, or files given by the user.

A synthetic radiograph shows two dark lungs in a bright body, with noise. That is enough for timing,
so that no file of a patient is needed.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

JPEGS = 7
SMALL_ROWS, SMALL_COLUMNS = 512, 448


@dataclass(frozen=True)
class Inputs:
    """Input files on disk.

    Attributes:
        small: files that are sent in turns to measure throughput.
        dicom: one large file, to measure the time by stage.
        what: description of both, in words.
    """

    small: tuple[Path, ...]
    dicom: Path
    what: str


def prepare(folder: Path, given: list[Path]) -> Inputs:
    """Write synthetic radiographs into a folder, or use the given files."""
    dicom = folder / "chest.dcm"
    dicom.write_bytes(synthetic_dicom())
    what = "for the time by stage an uncompressed DICOM object of 2500 x 2048 pixels, 12 bits"
    if given:
        dicoms = [path for path in given if path.suffix.lower() in (".dcm", "")]
        return Inputs(tuple(given), (dicoms or [dicom])[0], f"{len(given)} given files")
    small = []
    for seed in range(JPEGS):
        path = folder / f"chest-{seed}.jpg"
        path.write_bytes(synthetic_jpeg(seed))
        small.append(path)
    small_dicom = folder / f"chest-{JPEGS}.dcm"
    small_dicom.write_bytes(synthetic_dicom(SMALL_ROWS, SMALL_COLUMNS))
    made_up = f"{JPEGS} JPEG files and a DICOM object of {SMALL_COLUMNS} x {SMALL_ROWS} pixels"
    return Inputs((*small, small_dicom), dicom, f"made up: {made_up} in turns; {what}")


def synthetic_jpeg(seed: int) -> bytes:
    """Return a small JPEG; each seed gives another one."""
    pixels = _chest(SMALL_ROWS, SMALL_COLUMNS, seed) / 4095 * 255
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def synthetic_dicom(rows: int = 2500, columns: int = 2048, seed: int = 0) -> bytes:
    """Return an uncompressed 12-bit DX object; each seed gives another one."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = UID(f"1.2.826.0.1.3680043.8.498.{seed + 2}")
    dataset = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.ViewPosition, dataset.BodyPartExamined = "DX", "PA", "CHEST"
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "MONOCHROME2", 1
    dataset.Rows, dataset.Columns, dataset.PixelSpacing = rows, columns, [0.168, 0.168]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = _chest(rows, columns, seed).astype(np.uint16).tobytes()
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _chest(rows: int, columns: int, seed: int) -> NDArray[np.float64]:
    """Return the pixels of a chest, rows x columns, 0 to 4095."""
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    lungs = [  # two ellipses, rows x columns bool
        ((x / columns - centre) / 0.14) ** 2 + ((y / rows - 0.45) / 0.3) ** 2 < 1
        for centre in (0.3, 0.7)
    ]
    noise = np.random.default_rng(seed).normal(0, 40, (rows, columns))
    return np.clip(np.where(lungs[0] | lungs[1], 1000, 2800) + noise, 0, 4095)
