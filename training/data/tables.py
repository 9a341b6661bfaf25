"""Radiograph tables: one CSV and its images, in a folder or a tar file.

Columns used: image, patient_id, split, text, labels ("|"-separated), view, sex, age, width,
height, lung_mask, class_masks (JSON name -> path), boxes (JSON [{label, xyxy}] in stored
pixels), licence, licence_class, extra (JSON; question-answer pairs).
"""

import csv
import json
import tarfile
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TABLE_NAMES = {
    "kermany_224": "Kermany chest X-rays of children",
    "nih_subset": "NIH ChestX-ray14, subset",
    "covid_cxr": "COVID-19 image collection",
    "vqa_rad_chest": "VQA-RAD, chest",
}


@dataclass(frozen=True)
class Row:
    """One radiograph and what is known about it.

    Attributes:
        table: name of the table it stands in.
        image: path of the image inside of the table.
        labels: class labels as the table spells them.
        masks: structure or finding -> path of its mask.
        lung_mask: path of a mask of both lungs together, or None.
        boxes: (label, (x0, y0, x1, y1)) in stored pixels.
    """

    table: str
    image: str
    patient_id: str
    split: str
    text: str
    labels: tuple[str, ...]
    view: str
    sex: str
    age: str
    licence: str
    licence_class: str
    masks: dict[str, str] = field(default_factory=dict)
    lung_mask: str | None = None
    boxes: tuple[tuple[str, tuple[float, float, float, float]], ...] = ()
    answers: tuple[tuple[str, str], ...] = ()

    @property
    def is_lateral(self) -> bool:
        """Whether the view is a lateral one."""
        return self.view.upper() in {"L", "LL", "RL", "LATERAL"}


class Table:
    """A radiograph table whose files can be read by their paths."""

    def __init__(self, root: Path, name: str) -> None:
        """Open `<root>/<name>.csv`.

        Raises:
            FileNotFoundError: the CSV, or both the folder and the tar of images, are missing.
        """
        self.root, self.name = root, name
        self.csv = root / f"{name}.csv"
        if not self.csv.is_file():
            raise FileNotFoundError(f"no table {self.csv}")
        self._tar: tarfile.TarFile | None = None
        if not (root / name).is_dir():
            self._tar = tarfile.open(root / f"{name}.tar")  # noqa: SIM115 - open as long as self
            weakref.finalize(self, self._tar.close)

    def rows(self) -> list[Row]:
        """All rows, in the order of the file."""
        with self.csv.open(newline="", encoding="utf-8") as file:
            return [_row(self.name, record) for record in csv.DictReader(file)]

    def read(self, path: str) -> bytes:
        """The bytes of one image or mask.

        Raises:
            FileNotFoundError: it is not in the table.
        """
        if self._tar is None:
            return (self.root / path).read_bytes()
        try:
            member = self._tar.extractfile(path)
        except KeyError as error:
            raise FileNotFoundError(f"{self.name}.tar has no {path}") from error
        if member is None:
            raise FileNotFoundError(f"{self.name}.tar: {path} is not a file")
        return member.read()


def _row(table: str, record: dict[str, str]) -> Row:
    boxes: list[dict[str, Any]] = json.loads(record["boxes"] or "[]")
    extra = json.loads(record["extra"] or "[]") if record["extra"].startswith("[") else []
    return Row(
        table=table,
        image=record["image"],
        patient_id=record["patient_id"],
        split=record["split"],
        text=record["text"].strip(),
        labels=tuple(filter(None, record["labels"].split("|"))),
        view=record["view"],
        sex=record["sex"],
        age=record["age"],
        licence=record["licence"],
        licence_class=record["licence_class"],
        masks=json.loads(record["class_masks"] or "{}"),
        lung_mask=record["lung_mask"] or None,
        boxes=tuple((box["label"], tuple(box["xyxy"])) for box in boxes),
        answers=tuple((qa["question"], qa["answer"]) for qa in extra),
    )
