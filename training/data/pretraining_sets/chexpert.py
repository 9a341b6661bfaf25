"""CheXpert, images with labels, and CheXpert Plus, the same images with their reports.

    <root>/chexpert/   or <root>/
        train.csv, valid.csv [, test.csv]   Path, Sex, Age, Frontal/Lateral, AP/PA, 14 labels
        train/patient00001/study1/view1_frontal.jpg, valid/...
    Path is `CheXpert-v1.0/train/...`, `CheXpert-v1.0-small/train/...` or `train/...`; what precedes
    train/, valid/ or test/ is ignored. Labels: 1 present, 0 absent, -1 uncertain, blank not stated.

    <root>/chexpert_plus/   or <root>/
        df_chexpert_plus_240401.csv   path_to_image, frontal_lateral, ap_pa, deid_patient_id,
                                      report, section_findings, section_impression, age, sex, split
        PNG/train/patient00001/study1/view1_frontal.png   or .jpg, in PNG/, PNG/PNG/ or here
    path_to_image is `train/patient42142/study5/view1_frontal.jpg` in either format.

CheXpert has no reports: its rows carry labels, from which `synthetic_reports` makes sentences.
Both are under Stanford's research use agreement. The sections of CheXpert Plus are cleaned like any
report; if a row has neither section, its `report` is split by our rules.

Source: stanfordmlgroup.github.io/competitions/chexpert and github.com/Stanford-AIMI/chexpert-plus;
the layout of the PNG folder is not described there and was taken from code that reads it.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from training.data.rows import dataset_files
from training.data.rows.reader import Row
from training.data.text.report_cleaning import clean, join, reason_too_short
from training.data.text.report_sections import pair_text

LICENCE = "Stanford University Dataset Research Use Agreement"
LABELS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
PLUS_TABLE = "df_chexpert_plus_240401.csv"
SOURCE = "CheXpert, stanfordmlgroup.github.io/competitions/chexpert (a research use agreement)"
_PLUS_SOURCE = "CheXpert Plus, stanfordaimi.azurewebsites.net (a research use agreement)"
_SPLIT_PART = re.compile(r"(?:^|/)((train|valid|test)/.*)")
_PATIENT = re.compile(r"/(patient\d+)/")
_SEX = {"Female": "F", "Male": "M"}


class CheXpert:
    """Reader of CheXpert."""

    name = "chexpert"

    def __init__(self, root: Path) -> None:
        """Open the data set in `<root>/chexpert`, or in `root`.

        Raises:
            MissingData: train.csv or valid.csv is missing.
        """
        self.folder = dataset_files.locate(root, self.name)
        self.tables = [
            dataset_files.table(self.folder, f"{s}.csv", SOURCE) for s in ("train", "valid")
        ]
        self.tables += [p for p in (self.folder / "test.csv",) if p.is_file()]

    def rows(self) -> Iterator[Row]:
        """Yield one row for each image, training images first."""
        needed = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *LABELS)
        for path in self.tables:
            columns = needed if path.name.split(".")[0] != "test" else ("Path",)
            for line in dataset_files.records(path, columns):
                yield row_of(self.name, line, path.name.split(".")[0])

    def read(self, path: str) -> bytes:
        """Return the bytes of one image."""
        return dataset_files.inside(self.folder, path).read_bytes()

    def fingerprint(self) -> bytes:
        """Return the digests of the tables."""
        return b"".join(dataset_files.digest(path) for path in self.tables)


def row_of(table: str, line: dict[str, str], split: str) -> Row:
    """Return the row of one line of train.csv, valid.csv or test.csv."""
    image, patient = _place(line["Path"])
    values = {name: _value(line[name]) for name in LABELS if line.get(name)}
    return Row(
        table=table,
        image=image,
        patient_id=patient,
        split=split,
        text="",
        labels=tuple(name for name, value in values.items() if value == 1.0),
        view=_view(line.get("Frontal/Lateral", ""), line.get("AP/PA", ""), image),
        sex=_SEX.get(line.get("Sex", ""), ""),
        age=line.get("Age", ""),
        licence=LICENCE,
        licence_class="noncommercial",
        uncertain=tuple(name for name, value in values.items() if value == -1.0),
    )


def _value(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _place(path: str) -> tuple[str, str]:
    """Return the path from the folder of the split on, and the patient in it."""
    found, patient = _SPLIT_PART.search(path), _PATIENT.search(path)
    return found[1] if found else path, patient[1] if patient else ""


def _view(side: str, projection: str, image: str) -> str:
    """Return `PA`, `AP`, `LATERAL`, or `FRONTAL` if the projection is not stated."""
    if side == "Lateral" or (not side and "_lateral" in image):
        return "LATERAL"
    return projection if projection in ("AP", "PA") else "FRONTAL"


class CheXpertPlus:
    """Reader of CheXpert Plus."""

    name = "chexpert_plus"

    def __init__(self, root: Path) -> None:
        """Open the data set in `<root>/chexpert_plus`, or in `root`.

        Raises:
            MissingData: the table or the images are missing.
        """
        self.folder = dataset_files.locate(root, self.name)
        self.csv = dataset_files.table(self.folder, PLUS_TABLE, _PLUS_SOURCE)
        places = [self.folder / part for part in ("PNG/PNG", "PNG", ".")]
        found = [place for place in places if (place / "train").is_dir()]
        if not found:
            raise dataset_files.MissingData(
                f"no PNG/train/ in {self.folder}. It comes from {_PLUS_SOURCE}"
            )
        self.images = found[0]

    def rows(self) -> Iterator[Row]:
        """Yield one row for each image, in the order of the table."""
        needed = (
            "path_to_image",
            "frontal_lateral",
            "ap_pa",
            "deid_patient_id",
            "report",
            "section_findings",
            "section_impression",
            "split",
        )
        for line in dataset_files.records(self.csv, needed):
            text = join(clean(line["section_impression"]), clean(line["section_findings"]))
            text = text or pair_text(line["report"])
            yield Row(
                table=self.name,
                image=line["path_to_image"],
                patient_id=line["deid_patient_id"],
                split=line["split"],
                text=text,
                labels=(),
                view=_view(line["frontal_lateral"], line["ap_pa"], line["path_to_image"]),
                sex=_SEX.get(line.get("sex", ""), ""),
                age=line.get("age", ""),
                licence=LICENCE,
                licence_class="noncommercial",
                left_out=_plus_reason(line, text),
            )

    def read(self, path: str) -> bytes:
        """Return the bytes of one image, or of its PNG if the JPEG in the table is missing."""
        place = dataset_files.inside(self.images, path)
        png = place.with_suffix(".png")
        return (place if place.exists() or not png.exists() else png).read_bytes()

    def fingerprint(self) -> bytes:
        """Return the digest of the table."""
        return dataset_files.digest(self.csv)


def _plus_reason(line: dict[str, str], text: str) -> str:
    if _view(line["frontal_lateral"], line["ap_pa"], line["path_to_image"]) == "LATERAL":
        return "lateral view"
    if line["split"] not in ("train", "valid", "test"):
        return "no split"
    return reason_too_short(text)
