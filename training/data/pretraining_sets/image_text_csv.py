"""`pairs`: images and reports of any hospital, listed in one CSV.

    <root>/pairs/   or <root>/
        pairs.csv    image, text, patient, split
        ...          PNG, JPEG or DICOM files, at the paths that `image` gives, relative to here

`text` is a report as it was written, or any other text: a text without section headers is taken
whole. `split` is train, valid (or validation, val) or test. A row without one joins the other rows
of its patient, or is assigned by a hash of the patient (90 / 5 / 5 %). A patient whose rows are in
several splits is left out, because training rows would otherwise be tested on. A row with a split
and without a patient counts as a patient of its own.

Optional columns: view (PA, AP, L, ...), sex, age, labels ("|"-separated), licence, licence_class
(open or noncommercial; noncommercial, the stricter, by default); lung_mask, class_masks, boxes and
extra, as `training.data.tables.radiograph_table` has them. A row with a label, a mask or a box
needs no text. `pairs.yaml` beside the table describes labels, masks and boxes
(`training.config.description`).
"""

from collections.abc import Iterator
from pathlib import Path

from training.data.rows import dataset_files
from training.data.rows.reader import Row
from training.data.rows.splits import (
    SEVERAL,
    named_split,
    reason_without_split,
    split_of,
    splits_of_patients,
)
from training.data.tables import annotation_columns
from training.data.tables.annotation_columns import NOTHING
from training.data.text.report_cleaning import reason_too_short
from training.data.text.report_sections import any_text

_SOURCE = "you: one line an image, with the columns image, text, patient and split"


class ImageTextCsv:
    """Reader of `pairs.csv`."""

    name = "pairs"

    def __init__(self, root: Path) -> None:
        """Open `pairs.csv` in `<root>/pairs`, or in `root`.

        Raises:
            MissingData: there is no `pairs.csv`.
        """
        self.folder = dataset_files.locate(root, self.name)
        self.csv = dataset_files.table(self.folder, "pairs.csv", _SOURCE)

    def rows(self) -> Iterator[Row]:
        """Yield one row for each image, in the order of the table."""
        given = self._splits_of_patients()
        for line in self._lines():
            text, patient = any_text(line["text"]), line["patient"]
            made = split_of(patient) if patient else ""
            name = line.get("split", "")
            split = given.get(patient) or named_split(name) or made
            annotations = annotation_columns.parse(line)
            found, labels = annotations or NOTHING, annotation_columns.labels(line)
            annotated = labels or line.get("lung_mask") or found != NOTHING
            reason = "" if annotations else "malformed annotation"
            yield Row(
                table=self.name,
                image=line["image"],
                patient_id=patient or line["image"],
                split="" if split == SEVERAL else split,
                text=text,
                labels=labels,
                view=line.get("view", ""),
                sex=line.get("sex", ""),
                age=line.get("age", ""),
                licence=line.get("licence", "") or "not stated",
                licence_class=line.get("licence_class", "") or "noncommercial",
                masks=found.masks,
                lung_mask=line.get("lung_mask") or None,
                boxes=found.boxes,
                answers=found.answers,
                extra=found.extra,
                left_out=reason_without_split(name, split)
                or reason
                or ("" if annotated and not line["text"] else reason_too_short(text, line["text"])),
            )

    def _lines(self) -> Iterator[dict[str, str]]:
        return dataset_files.records(self.csv, ("image", "text", "patient"))

    def _splits_of_patients(self) -> dict[str, str]:
        """Return patient -> split of the rows that have one, or `SEVERAL` if they differ."""
        lines = self._lines()
        return splits_of_patients((line["patient"], line.get("split", "")) for line in lines)

    def read(self, path: str) -> bytes:
        """Return the bytes of one image."""
        return dataset_files.inside(self.folder, path).read_bytes()

    def fingerprint(self) -> bytes:
        """Return the digest of the table."""
        return dataset_files.digest(self.csv)
