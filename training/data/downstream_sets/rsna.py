"""RSNA Pneumonia Detection Challenge: boxes of lung opacities that suggest pneumonia.

    <root>/rsna/   or <root>/
        stage_2_train_images/<patientId>.dcm    26,684 images of 1024 x 1024, one for each patient
        stage_2_train_labels.csv                patientId, x, y, width, height, Target
        stage_2_detailed_class_info.csv         patientId, class
    One line for each box; x, y is its upper left corner in pixels; a patient without a box has one
    line with Target 0. class is Normal, No Lung Opacity / Not Normal or Lung Opacity.

The boxes are the targets of detection, and the filled boxes are the masks of segmentation. A box
that is listed twice counts once; boxes are clipped at the edge of the image.

Both protocols use the published split, which has no fault: patients are sorted by name, 10,674 are
held out by `train_test_split(test_size=10674, random_state=0)`, and the first half of those is the
test split. A smaller copy of the data set is split in the same proportions. Names identify patients
of this challenge only: two of them may be one patient of ChestX-ray14, the source of the images.

Source: kaggle.com/c/rsna-pneumonia-detection-challenge/data; the split from the MGCA scripts,
github.com/HKU-MedAI/MGCA (preprocess/rsna.py).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from radiograph.geometry.geometry import Box
from training.config.run import Protocol
from training.data.annotations import shapes
from training.data.rows import dataset_files
from training.data.rows.reader import Row
from training.data.rows.splits import in_thirds

SIDE_PX = 1024
LABELS, CLASSES = "stage_2_train_labels.csv", "stage_2_detailed_class_info.csv"
IMAGES = "stage_2_train_images/"
_SOURCE = "kaggle.com/c/rsna-pneumonia-detection-challenge/data, stage 2 (the competition's rules)"
_LICENCE = "RSNA Pneumonia Detection Challenge terms of use"
_HELD_OUT = 0.4
"""Fraction of the patients held out: 10,674 of 26,684, rounded."""


@dataclass
class _Patient:
    """Targets and boxes of one patient; `reason` states why they cannot be used, or is ""."""

    targets: set[str] = field(default_factory=set)
    boxes: list[Box] = field(default_factory=list)
    reason: str = ""


class Rsna:
    """Reader of the RSNA challenge."""

    name = "rsna"

    def __init__(self, root: Path, protocol: Protocol = "sound") -> None:
        """Open the data set in `<root>/rsna`, or in `root`.

        Raises:
            MissingData: a table or the images are missing.
        """
        self.folder, self.protocol = dataset_files.locate(root, self.name), protocol
        dataset_files.require(self.folder, ((IMAGES,), (LABELS,), (CLASSES,)), _SOURCE)
        self.labels = dataset_files.table(self.folder, LABELS, _SOURCE)
        self.classes = dataset_files.table(self.folder, CLASSES, _SOURCE)

    @cached_property
    def _patients(self) -> dict[str, _Patient]:
        found: dict[str, _Patient] = {}
        needed = ("patientId", "x", "y", "width", "height", "Target")
        for line in dataset_files.records(self.labels, needed):
            patient = found.setdefault(line["patientId"], _Patient())
            patient.targets.add(line["Target"])
            if line["Target"] == "1":
                _add_box(patient, line)
        for patient in found.values():
            patient.reason = patient.reason or _target_reason(patient.targets)
        return found

    def rows(self) -> Iterator[Row]:
        """Yield one row for each patient, in the order of the labels."""
        lines = dataset_files.records(self.classes, ("patientId", "class"))
        classes = {line["patientId"]: line["class"] for line in lines}
        names = sorted(self._patients)
        splits = dict(
            zip(names, in_thirds(len(names), round(_HELD_OUT * len(names)))[0], strict=True)
        )
        for name, patient in self._patients.items():
            yield self._row(name, patient, splits[name], classes.get(name, ""))

    def _row(self, name: str, patient: _Patient, split: str, kind: str) -> Row:
        labels = (kind, "Pneumonia") if patient.boxes else (kind,)
        return Row(
            table=self.name,
            image=f"{IMAGES}{name}.dcm",
            patient_id=name,
            split=split,
            text="",
            labels=tuple(filter(None, labels)),
            view="",
            sex="",
            age="",
            licence=_LICENCE,
            licence_class="noncommercial",
            masks={"Lung opacity": (f"mask:{name}",)} if patient.boxes else {},
            boxes=tuple(("Lung opacity", box) for box in patient.boxes),
            left_out=patient.reason,
        )

    def read(self, path: str) -> bytes:
        """Return the bytes of one image, or a PNG of the filled boxes for `mask:<patientId>`."""
        kind, _, name = path.partition("mask:")
        if kind or name not in self._patients:
            return dataset_files.inside(self.folder, path).read_bytes()
        mask = np.zeros((SIDE_PX, SIDE_PX), dtype=bool)
        for x0, y0, x1, y1 in self._patients[name].boxes:
            mask[int(y0) : math.ceil(y1), int(x0) : math.ceil(x1)] = True
        return shapes.png(mask)

    def fingerprint(self) -> bytes:
        """Return the digests of the tables."""
        return dataset_files.digest(self.labels) + dataset_files.digest(self.classes)


def _target_reason(targets: set[str]) -> str:
    if not targets <= {"0", "1"}:
        return "malformed target"
    return "marked both with and without opacity" if len(targets) > 1 else ""


def _add_box(patient: _Patient, line: dict[str, str]) -> None:
    """Add the box of a line, or record why it is malformed."""
    try:
        x, y, width, height = (float(line[key]) for key in ("x", "y", "width", "height"))
    except ValueError:
        patient.reason = "malformed box"
        return
    if not all(map(math.isfinite, (x, y, width, height))) or width <= 0 or height <= 0:
        patient.reason = "malformed box"
        return
    box = (max(x, 0.0), max(y, 0.0), min(x + width, SIDE_PX), min(y + height, SIDE_PX))
    if box[0] >= box[2] or box[1] >= box[3]:
        patient.reason = "box outside of the image"
    elif box not in patient.boxes:
        patient.boxes.append(box)
