"""`pairs`: images and texts of any hospital, in one CSV.

    <root>/pairs/   or <root>/
        pairs.csv    image, text, patient, split
        ...          PNG, JPEG or DICOM files, at the paths that `image` gives, relative to here

`text` is a report as it was written, or any text: headers are looked for, and a text without any
is taken whole. `split` is train, valid (or validate, val) or test; a row without one goes where
the other rows of its patient are, else by a hash of the patient (90 / 5 / 5 %). Without any split,
or without the column, all patients are divided so. A patient whose rows stand in several splits is
left out: what is learnt of him in one would be measured in another.

Optional columns: view (PA, AP, L, ...), sex, age, labels ("|"-separated), licence, licence_class
(open or noncommercial; without it noncommercial, the stricter).
"""

from collections.abc import Iterator
from pathlib import Path

from training.data.rows import dataset_files
from training.data.rows.reader import Row
from training.data.rows.splits import split_of
from training.data.text.report_sections import any_text, reason_too_short

_SOURCE = "you: one line an image, with the columns image, text, patient and split"
_SPLITS = {"train": "train", "valid": "valid", "validate": "valid", "val": "valid", "test": "test"}
_SEVERAL = "several"


class Pairs:
    """The reader of `pairs.csv`."""

    name = "pairs"

    def __init__(self, root: Path) -> None:
        """Look for `pairs.csv` in `<root>/pairs`, or in `root`.

        Raises:
            MissingData: it is not there.
        """
        self.folder = dataset_files.locate(root, self.name)
        self.csv = dataset_files.table(self.folder, "pairs.csv", _SOURCE)

    def rows(self) -> Iterator[Row]:
        """One row an image, in the order of the table."""
        given = self._splits_of_patients()
        for line in self._lines():
            text, patient = any_text(line["text"]), line["patient"]
            made = split_of(patient) if patient else ""
            split = given.get(patient) or _SPLITS.get(line.get("split", "").lower()) or made
            yield Row(
                table=self.name,
                image=line["image"],
                patient_id=patient,
                split="" if split == _SEVERAL else split,
                text=text,
                labels=tuple(filter(None, line.get("labels", "").split("|"))),
                view=line.get("view", ""),
                sex=line.get("sex", ""),
                age=line.get("age", ""),
                licence=line.get("licence", "") or "not stated",
                licence_class=line.get("licence_class", "") or "noncommercial",
                left_out=_split_reason(line, split) or reason_too_short(text),
            )

    def _lines(self) -> Iterator[dict[str, str]]:
        return dataset_files.records(self.csv, ("image", "text", "patient"))

    def _splits_of_patients(self) -> dict[str, str]:
        """Patient -> the split that the table gives at least one of his rows."""
        given: dict[str, str] = {}
        for line in self._lines():
            split, patient = _SPLITS.get(line.get("split", "").lower()), line["patient"]
            if split and patient:
                given[patient] = split if given.get(patient, split) == split else _SEVERAL
        return given

    def read(self, path: str) -> bytes:
        """The bytes of one image."""
        return dataset_files.inside(self.folder, path).read_bytes()

    def fingerprint(self) -> bytes:
        """Changes when the table does."""
        return dataset_files.digest(self.csv)


def _split_reason(line: dict[str, str], split: str) -> str:
    said = line.get("split", "")
    if said and said.lower() not in _SPLITS:
        return "unknown split"
    if split == _SEVERAL:
        return "patient in several splits"
    return "" if split else "neither patient nor split"
