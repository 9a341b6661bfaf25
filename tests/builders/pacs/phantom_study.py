"""Study of a phantom: a radiograph whose lungs are known, and the results that name them.

python -m tests.builders.pacs.phantom_study FOLDER
"""

import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from radiograph.postprocess.heads import Detection, Mask
from radiograph.terminology.codes import CODES
from service.dicom_results.kinds import ObjectKind
from service.dicom_results.options import DicomResultOptions
from service.dicom_results.writer import write_for
from tests.builders.files.dicom_files import dicom
from tests.builders.service.results.dicom_results import SERIES, STUDY, known_result

ROOT = Path(__file__).parents[3]
LUNGS = {"Right lung": (85.0, 100.0, 275.0, 640.0), "Left lung": (325.0, 100.0, 515.0, 640.0)}
"""x0, y0, x1, y1 of the ellipses that the phantom has as lungs."""
KINDS = tuple(kind for kind in ObjectKind if kind is not ObjectKind.HEATMAP)
"""OHIF does not load fractional segmentations."""


def write_study(folder: Path) -> None:
    """Write the radiograph and its results."""
    draw = runpy.run_path(str(ROOT / "docs/example.py"))["phantom"]
    stored = np.asarray(draw()).astype(np.uint16) * 16
    data = dicom(
        stored,
        StudyInstanceUID=STUDY,
        SeriesInstanceUID=SERIES,
        StudyDate="20240131",
        StudyTime="101500",
        PatientID="PHANTOM",
        PatientName="Phantom^Chest",
        ImagerPixelSpacing=[0.5, 0.5],
        WindowCenter="1600",
        WindowWidth="3200",
    )
    made = replace(
        known_result(data),
        masks=tuple(
            Mask(name, CODES[name], pixels := _ellipse(box), int(pixels.sum()), None, None)
            for name, box in LUNGS.items()
        ),
        detections=tuple(Detection(name, CODES[name], 0.9, box) for name, box in LUNGS.items()),
        groundings=None,
        preview=(stored >> 4).astype(np.uint8),
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "0_radiograph.dcm").write_bytes(data)
    for item in write_for(made, data, KINDS, DicomResultOptions()):
        (folder / f"{item.kind.value}.dcm").write_bytes(item.data)


def _ellipse(box: tuple[float, ...]) -> NDArray[np.bool_]:
    image = Image.new("1", (600, 640))
    ImageDraw.Draw(image).ellipse(box, fill=1)
    return np.asarray(image)


if __name__ == "__main__":
    write_study(Path(sys.argv[1]))
