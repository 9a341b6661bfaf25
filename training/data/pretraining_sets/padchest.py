"""PadChest: 16-bit PNG images with reports in Spanish.

    <root>/padchest/   or <root>/
        PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv[.gz]
                       ImageID, ImageDir, PatientID, PatientBirth, PatientSex_DICOM, Projection,
                       StudyDate_DICOM, Report, Labels, ...
        0/<ImageID>, 1/<ImageID>, ...   as the archives unpack, by ImageDir; or images/<ImageID>

Projection PA, AP and AP_horizontal (lying) are frontal; L, COSTAL, EXCLUDE and others are left out.
The report is used unchanged: the authors stemmed and tokenised it (`sin hallazg patolog .`), so it
is not running Spanish, and it has no sections. An English text encoder does not know these words.

There is no official split; patients are split by a hash, as for `pairs`.

Source: github.com/auriml/Rx-thorax-automatic-captioning (fields), arXiv 1901.07441.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from training.data.rows import dataset_files
from training.data.rows.reader import Row
from training.data.rows.splits import split_of
from training.data.text.report_cleaning import reason_too_short

TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
LICENCE = "PadChest Dataset Research Use Agreement"
_SOURCE = "PadChest, bimcv.cipf.es/bimcv-projects/padchest (a research use agreement)"
_VIEWS = {"PA": "PA", "AP": "AP", "AP_horizontal": "AP Supine"}


class PadChest:
    """Reader of PadChest."""

    name = "padchest"

    def __init__(self, root: Path) -> None:
        """Open the data set in `<root>/padchest`, or in `root`.

        Raises:
            MissingData: the table is missing.
        """
        self.folder = dataset_files.locate(root, self.name)
        self.csv = dataset_files.table(self.folder, TABLE, _SOURCE)

    def rows(self) -> Iterator[Row]:
        """Yield one row for each image, in the order of the table."""
        needed = ("ImageID", "ImageDir", "PatientID", "Projection", "Report", "Labels")
        for line in dataset_files.records(self.csv, needed):
            text, patient = " ".join(line["Report"].split()), line["PatientID"]
            projection = line["Projection"]
            view_reason = "" if projection in _VIEWS else f"view {projection or 'not stated'}"
            yield Row(
                table=self.name,
                image=f"{line['ImageDir'] or 'images'}/{line['ImageID']}",
                patient_id=patient,
                split=split_of(patient) if patient else "",
                text=text,
                labels=_labels(line["Labels"]),
                view=_VIEWS.get(projection, projection),
                sex=line.get("PatientSex_DICOM", ""),
                age=_age(line.get("StudyDate_DICOM", ""), line.get("PatientBirth", "")),
                licence=LICENCE,
                licence_class="noncommercial",
                left_out=view_reason or ("" if patient else "no patient") or reason_too_short(text),
            )

    def read(self, path: str) -> bytes:
        """Return the bytes of one image, from its numbered folder or from images/."""
        place = dataset_files.inside(self.folder, path)
        if not place.exists():
            place = self.folder / "images" / place.name
        return place.read_bytes()

    def fingerprint(self) -> bytes:
        """Return the digest of the table."""
        return dataset_files.digest(self.csv)


def _labels(text: str) -> tuple[str, ...]:
    """Parse labels such as `['pneumonia', ' infiltrates']`; anything else has none."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    if not isinstance(found, list):
        return ()
    return tuple(dict.fromkeys(name.strip() for name in found if isinstance(name, str)))


def _age(study_date: str, birth: str) -> str:
    """Return the years from the year of birth to a date such as `20140915`, or ""."""
    year, born = study_date[:4], birth.partition(".")[0]
    if not (year.isdigit() and born.isdigit()):
        return ""
    return str(int(year) - int(born)) if 0 <= int(year) - int(born) <= 120 else ""
