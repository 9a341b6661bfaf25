"""Radiographs and results with known answers, and the DICOM objects that are made of them."""

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset

from radiograph.postprocess.grounding import Grounding, PhraseBox, Presence
from radiograph.postprocess.heads import Detection, Finding, Mask
from radiograph.readers.read import read
from radiograph.terminology.codes import CODES
from service.decoding.decode import ImageFacts
from service.dicom_results.kinds import EncodedObject, ObjectKind
from service.dicom_results.options import DicomResultOptions
from service.dicom_results.writer import write_for
from service.inference.results import AnalysisResult
from tests.builders.files.dicom_files import dicom, ramp
from tests.builders.service.results.results import result

STUDY, SERIES = "1.2.826.0.1.3680043.8.498.2", "1.2.826.0.1.3680043.8.498.3"
ROWS, COLUMNS = 41, 30
"""An odd number of pixels, so that the second mask does not start at a byte."""
BOX = (3.1, 4.2, 17.3, 30.7)
SOP_CLASSES = {
    "CR": uid.ComputedRadiographyImageStorage,
    "DX": uid.DigitalXRayImageStorageForPresentation,
    "SC": uid.SecondaryCaptureImageStorage,
}
ORIENTATIONS = {
    "upright": ["L", "F"],
    "mirrored": ["R", "F"],
    "turned_90": ["F", "R"],
    "turned_180": ["R", "H"],
}


def source(**attributes: Any) -> bytes:
    """Return a radiograph of ROWS x COLUMNS in a study; None leaves an attribute out."""
    base: dict[str, Any] = {
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": SERIES,
        "StudyDate": "20240131",
        "StudyTime": "101500.25",
        "AccessionNumber": "A1",
        "StudyID": "S1",
        "PatientID": "4711",
        "PatientBirthDate": "19400305",
        "PatientSex": "F",
        "ImagerPixelSpacing": [0.2, 0.2],
    }
    return dicom(ramp(ROWS, COLUMNS), **(base | attributes))


def masks() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return two masks of random pixels that do not overlap."""
    values = np.random.default_rng(3).random((ROWS, COLUMNS))
    return values < 0.3, values > 0.8


def known_result(data: bytes, **changes: Any) -> AnalysisResult:
    """Return a result with one or two items of every task for a file, with its facts."""
    radiograph = read(data, "application/octet-stream")
    image = ImageFacts(
        rows=radiograph.rows,
        columns=radiograph.columns,
        spacing_mm=radiograph.spacing_mm,
        aspect_ratio=radiograph.aspect_ratio,
        photometric_interpretation=radiograph.photometric_interpretation,
        orientation=radiograph.orientation,
        laterality=radiograph.laterality,
    )
    left, right = (
        Mask(name, CODES[name], pixels, int(pixels.sum()), None, None)
        for name, pixels in zip(("Left lung", "Right lung"), masks(), strict=True)
    )
    heat = np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 3)
    known = result(
        findings=(
            Finding("Pneumonia", CODES["Pneumonia"], 0.8125, 0.5, positive=True),
            Finding("Hernia", None, 0.125, 0.5, positive=False),
        ),
        masks=(left, right),
        measurements=(),
        detections=(Detection("Left lung", CODES["Left lung"], 0.75, BOX),),
        groundings=(
            Grounding(
                "left lung",
                "aligned",
                0.9,
                heat,
                (1.0, 2.0),
                (PhraseBox((1.5, 2.5, 8.0, 9.0), 0.9),),
                Presence(0.6, 0.5),
            ),
        ),
        preview=np.full((ROWS, COLUMNS), 90, dtype=np.uint8),
    )
    return replace(known, **({"image": image} | changes))


def objects(
    data: bytes,
    kinds: Sequence[ObjectKind] = tuple(ObjectKind),
    options: DicomResultOptions | None = None,
    **changes: Any,
) -> dict[ObjectKind, EncodedObject]:
    """Return the objects of the known result of a file, by kind."""
    made = write_for(known_result(data, **changes), data, kinds, options or DicomResultOptions())
    return {item.kind: item for item in made}


def one(
    kind: ObjectKind, data: bytes, options: DicomResultOptions | None = None, **changes: Any
) -> Dataset:
    """Return the object of one kind, read back."""
    return opened(objects(data, (kind,), options, **changes)[kind])


def opened(item: EncodedObject) -> Dataset:
    """Return a data set as pydicom reads it."""
    return pydicom.dcmread(BytesIO(item.data))


def run(*command: str | Path) -> str:
    """Run a validator on files and return all its output; its status must be 0."""
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    text = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == 0, text
    return text
