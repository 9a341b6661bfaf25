"""Radiograph tables, a format of this project: one CSV and its images, in a folder or a tar file.

    <root>/<name>.csv                     one line for each image
    <root>/<name>/...  or  <name>.tar     the images and masks that the CSV names

Columns: image, patient_id, split, text, labels ("|"-separated), view, sex, age, width,
height, lung_mask, class_masks (JSON name -> path), boxes (JSON [{label, xyxy}] in stored
pixels), licence, licence_class, extra (JSON: further facts by name, or question-answer pairs).
`split` is train, valid (or validation, val) or test; a patient whose rows are in several splits is
left out. A row without a patient counts as a patient of its own.
`training.data.tables.described` gives them their meaning.
"""

import hashlib
import json
import tarfile
import weakref
from collections.abc import Mapping
from pathlib import Path

from training.data.rows.dataset_files import DataError, MissingData, digest, inside, records
from training.data.rows.reader import Row
from training.data.rows.splits import (
    SEVERAL,
    named_split,
    reason_without_split,
    splits_of_patients,
)
from training.data.tables import annotation_columns
from training.data.tables.annotation_columns import NOTHING

_COLUMNS = (
    *("image", "patient_id", "split", "text", "labels", "view", "sex", "age", "lung_mask"),
    *("class_masks", "boxes", "licence", "licence_class", "extra"),
)


class RadiographTable:
    """Reader of a radiograph table."""

    def __init__(self, root: Path, name: str) -> None:
        """Open `<root>/<name>.csv`.

        Raises:
            MissingData: there is no CSV, or neither a folder nor a tar file of images.
        """
        self.root, self.name = root, name
        self.csv = root / f"{name}.csv"
        if not self.csv.is_file():
            raise MissingData(f"no table {self.csv}, and no data set is known by that name")
        self._tar: tarfile.TarFile | None = None
        if not (root / name).is_dir():
            if not (root / f"{name}.tar").is_file():
                raise MissingData(f"no images of {self.csv}: {root / name}/ or {name}.tar")
            self._tar = tarfile.open(root / f"{name}.tar")  # noqa: SIM115 - open as long as self
            weakref.finalize(self, self._tar.close)

    def rows(self) -> list[Row]:
        """Return all rows, in the order of the file.

        Raises:
            DataError: a column is missing, or a line has too many fields.
        """
        found = list(records(self.csv, _COLUMNS))
        of_patients = splits_of_patients((each["patient_id"], each["split"]) for each in found)
        return [_row(self.name, record, of_patients) for record in found]

    def read(self, path: str) -> bytes:
        """Return the bytes of one image or mask.

        Raises:
            FileNotFoundError: there is no such file.
            PathRefused: the path leads out of the folder.
        """
        if self._tar is None:
            return inside(self.root, path).read_bytes()
        try:
            member = self._tar.extractfile(path)
            if member is None:
                raise FileNotFoundError(f"{self.name}.tar: {path} is not a file")
            return member.read()
        except KeyError as error:
            raise FileNotFoundError(f"{self.name}.tar has no {path}") from error
        except tarfile.TarError as error:
            raise DataError(f"{self.name}.tar breaks off at {path}") from error

    def fingerprint(self) -> bytes:
        """Return a digest of the CSV and the images.

        A tar file counts by its content, a folder by the names, sizes and times of its files.
        """
        sha = hashlib.sha256(self.csv.read_bytes())
        if self._tar is not None:
            sha.update(digest(self.root / f"{self.name}.tar"))
            return sha.digest()
        files = sorted(path for path in (self.root / self.name).rglob("*") if path.is_file())
        facts = [(str(path.relative_to(self.root)), *_size_and_time(path)) for path in files]
        sha.update(json.dumps(facts).encode())
        return sha.digest()


def _size_and_time(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _row(table: str, record: dict[str, str], of_patients: Mapping[str, str]) -> Row:
    annotations = annotation_columns.parse(record)
    found, patient = annotations or NOTHING, record["patient_id"]
    split = of_patients.get(patient) or named_split(record["split"])
    reason = "" if annotations else "malformed annotation"
    return Row(
        table=table,
        image=record["image"],
        patient_id=patient or record["image"],
        split="" if split == SEVERAL else split,
        text=record["text"],
        labels=annotation_columns.labels(record),
        view=record["view"],
        sex=record["sex"],
        age=record["age"],
        licence=record["licence"],
        licence_class=record["licence_class"],
        masks=found.masks,
        lung_mask=record["lung_mask"] or None,
        boxes=found.boxes,
        answers=found.answers,
        extra=found.extra,
        left_out=reason_without_split(record["split"], split) or reason,
    )
