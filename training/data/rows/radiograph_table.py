"""Radiograph tables: one CSV and its images, in a folder or a tar file. Our own format.

Columns used: image, patient_id, split, text, labels ("|"-separated), view, sex, age, width,
height, lung_mask, class_masks (JSON name -> path), boxes (JSON [{label, xyxy}] in stored
pixels), licence, licence_class, extra (JSON; question-answer pairs).
"""

import hashlib
import json
import tarfile
import weakref
from dataclasses import dataclass, field
from pathlib import Path

from training.data.rows.dataset_files import DataError, MissingData, digest, inside, records

_Boxes = tuple[tuple[str, tuple[float, float, float, float]], ...]
_Answers = tuple[tuple[str, str], ...]
_COLUMNS = (
    *("image", "patient_id", "split", "text", "labels", "view", "sex", "age", "lung_mask"),
    *("class_masks", "boxes", "licence", "licence_class", "extra"),
)
TABLE_NAMES = {
    "kermany_224": "Kermany chest X-rays of children",
    "nih_subset": "NIH ChestX-ray14, subset",
    "covid_cxr": "COVID-19 image collection",
    "vqa_rad_chest": "VQA-RAD, chest",
    "mimic_cxr_jpg": "MIMIC-CXR-JPG",
    "mimic_cxr_dicom": "MIMIC-CXR",
    "chexpert": "CheXpert",
    "chexpert_plus": "CheXpert Plus",
    "open_i": "Open-i, Indiana University chest X-rays",
    "padchest": "PadChest",
    "rsna": "RSNA Pneumonia Detection Challenge",
    "siim": "SIIM-ACR Pneumothorax Segmentation",
    "covidx": "COVIDx CXR",
    "cxr14": "NIH ChestX-ray14",
    "object_cxr": "Object-CXR",
    "chexpert_competition": "CheXpert, five competition labels",
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
        uncertain: labels that the table marks as neither present nor absent.
        complete: labels of which every mask and box is given; one without any is absent.
        left_out: why the row takes no part, or "" if it may.
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
    uncertain: tuple[str, ...] = ()
    complete: tuple[str, ...] = ()
    left_out: str = ""

    @property
    def is_lateral(self) -> bool:
        """Whether the view is a lateral one."""
        return self.view.upper() in {"L", "LL", "RL", "LATERAL"}

    @property
    def reason_left_out(self) -> str:
        """Why no run uses the row, or "" if one may: the table's reason, or a lateral view."""
        return self.left_out or ("lateral view" if self.is_lateral else "")


class Table:
    """A radiograph table whose files can be read by their paths."""

    def __init__(self, root: Path, name: str) -> None:
        """Open `<root>/<name>.csv`.

        Raises:
            MissingData: the CSV, or both the folder and the tar of images, are missing.
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
        """All rows, in the order of the file.

        Raises:
            DataError: a column is missing.
        """
        return [_row(self.name, record) for record in records(self.csv, _COLUMNS)]

    def read(self, path: str) -> bytes:
        """The bytes of one image or mask.

        Raises:
            FileNotFoundError: it is not in the table.
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
        """Changes when the CSV or an image does.

        The tar's content counts, or names, sizes and times of the files in a folder.
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


def _row(table: str, record: dict[str, str]) -> Row:
    try:
        masks, boxes, answers = _annotations(record)
        reason = ""
    except (ValueError, TypeError, KeyError, AttributeError):
        masks, boxes, answers, reason = {}, (), (), "malformed annotation"
    return Row(
        table=table,
        image=record["image"],
        patient_id=record["patient_id"],
        split=record["split"],
        text=record["text"],
        labels=tuple(filter(None, record["labels"].split("|"))),
        view=record["view"],
        sex=record["sex"],
        age=record["age"],
        licence=record["licence"],
        licence_class=record["licence_class"],
        masks=masks,
        lung_mask=record["lung_mask"] or None,
        boxes=boxes,
        answers=answers,
        left_out=reason,
    )


def _annotations(record: dict[str, str]) -> tuple[dict[str, str], _Boxes, _Answers]:
    """Masks, boxes and question-answer pairs, from their JSON."""
    extra = json.loads(record["extra"]) if record["extra"].startswith("[") else []
    boxes = [(box["label"], box["xyxy"]) for box in json.loads(record["boxes"] or "[]")]
    return (
        {str(name): str(path) for name, path in json.loads(record["class_masks"] or "{}").items()},
        tuple((str(label), (x0, y0, x1, y1)) for label, (x0, y0, x1, y1) in boxes),
        tuple((str(qa["question"]), str(qa["answer"])) for qa in extra),
    )
