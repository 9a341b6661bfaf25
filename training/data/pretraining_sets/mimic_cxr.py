"""What MIMIC-CXR (DICOM) and MIMIC-CXR-JPG share: views, official split, and reports.

    mimic-cxr-2.0.0-metadata.csv[.gz]   dicom_id, subject_id, study_id, ViewPosition, ...
    mimic-cxr-2.0.0-split.csv[.gz]      dicom_id, study_id, subject_id, split
    mimic-cxr-reports.zip               files/p10/p10000032/s50414267.txt, one a study

Both tables come with MIMIC-CXR-JPG (2.0.0 and 2.1.0 name them alike), the reports with MIMIC-CXR,
both from PhysioNet under its credentialed health data licence. The reports may be unpacked: into
`mimic-cxr-reports/`, or so that `files/` stands here.

Views PA and AP are kept; a lateral, an oblique or an unstated one is left out. All frontal images
of a study share its report. The split is the official one: train, validate and test.

Source: the tables' columns and the tree are described at physionet.org/content/mimic-cxr-jpg/2.1.0
and physionet.org/content/mimic-cxr/2.1.0.
"""

import zipfile
from collections.abc import Iterator
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path
from typing import Protocol

from training.data.rows import dataset_files
from training.data.rows.reader import Row
from training.data.text.report_sections import pair_text, reason_too_short

LICENCE = "PhysioNet Credentialed Health Data License 1.5.0"
METADATA, SPLIT = "mimic-cxr-2.0.0-metadata.csv", "mimic-cxr-2.0.0-split.csv"
REPORTS = "mimic-cxr-reports.zip"
JPG_SOURCE = (
    "MIMIC-CXR-JPG, physionet.org/content/mimic-cxr-jpg (a PhysioNet account with credentials, "
    "CITI training and a signed data use agreement)"
)
DICOM_SOURCE = (
    "MIMIC-CXR, physionet.org/content/mimic-cxr (a PhysioNet account with credentials, "
    "CITI training and a signed data use agreement)"
)
FRONTAL = frozenset({"PA", "AP"})
_SPLITS = {"train": "train", "validate": "valid", "test": "test"}
_PROBED_PATIENTS = 200


class ReportSource(Protocol):
    """Where the text of a study is."""

    def read(self, path: str) -> bytes:
        """The bytes of `files/p10/p10000032/s50414267.txt`, or FileNotFoundError."""

    def fingerprint(self) -> bytes:
        """Changes when another archive lies there."""


class _Folder:
    """Reports that were unpacked. They are part of a release and not looked at one by one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: str) -> bytes:
        return dataset_files.inside(self._folder, path).read_bytes()

    def fingerprint(self) -> bytes:
        return b"folder"


class _Archive:
    """Reports in the archive that PhysioNet ships."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise dataset_files.DataError(f"{path} is no ZIP, or only a part of one") from error

    def read(self, path: str) -> bytes:
        try:
            return self._zip.read(path)
        except KeyError as error:
            raise FileNotFoundError(path) from error
        except (zipfile.BadZipFile, EOFError, ValueError) as error:
            raise dataset_files.DataError(f"{self._path.name} is broken at {path}") from error

    def fingerprint(self) -> bytes:
        return dataset_files.digest(self._path)


class MimicCxr:
    """Rows of either release; a subclass says where an image lies."""

    name: str
    source: str

    def __init__(self, root: Path) -> None:
        """Look for the tree in `<root>/<name>`, or in `root`.

        Raises:
            MissingData: a table, the images or the reports are not there.
        """
        self.folder = dataset_files.locate(root, self.name)
        self.metadata = dataset_files.table(self.folder, METADATA, JPG_SOURCE)
        self.split = dataset_files.table(self.folder, SPLIT, JPG_SOURCE)
        dataset_files.required_folder(self.folder, "files", self.source)
        self._root = root

    @cached_property
    def reports(self) -> ReportSource:
        """The archive or the folder of reports.

        Raises:
            MissingData: neither is there.
        """
        for folder in (self.folder, self._root):
            if (folder / "mimic-cxr-reports").is_dir():
                return _Folder(folder / "mimic-cxr-reports")
            if (folder / REPORTS).is_file():
                return _Archive(folder / REPORTS)
        patients = islice(self.folder.glob("files/p1*/p1*"), _PROBED_PATIENTS)
        if any(next(patient.glob("s*.txt"), None) for patient in patients):
            return _Folder(self.folder)
        raise dataset_files.MissingData(
            f"no {REPORTS} in {self.folder}. It comes from {DICOM_SOURCE}"
        )

    def image_path(self, line: dict[str, str]) -> str:
        """Where the image of a line of the metadata lies."""
        raise NotImplementedError

    def report_path(self, subject: str, study: str) -> str:
        """Where the report of a study lies."""
        return f"files/p{subject[:2]}/p{subject}/s{study}.txt"

    def rows(self) -> Iterator[Row]:
        """One row an image, in the order of the metadata."""
        splits = {
            line["dicom_id"]: _SPLITS.get(line["split"], "")
            for line in dataset_files.records(self.split, ("dicom_id", "split"))
        }
        report = lru_cache(64)(self._report)  # the images of a study stand together
        needed = ("dicom_id", "subject_id", "study_id", "ViewPosition")
        for line in dataset_files.records(self.metadata, needed):
            view, split = line["ViewPosition"].upper(), splits.get(line["dicom_id"], "")
            reason, text = _view_reason(view) or ("" if split else "not in the official split"), ""
            if not reason:
                text, reason = report(line["subject_id"], line["study_id"])
            yield Row(
                table=self.name,
                image=self.image_path(line),
                patient_id=line["subject_id"],
                split=split,
                text=text,
                labels=(),
                view=view,
                sex="",
                age="",
                licence=LICENCE,
                licence_class="noncommercial",
                left_out=reason,
            )

    def _report(self, subject: str, study: str) -> tuple[str, str]:
        """The text of a study, and why it cannot be used."""
        try:
            text = pair_text(
                dataset_files.decode(self.reports.read(self.report_path(subject, study)))
            )
        except FileNotFoundError:
            return "", "report missing"
        except dataset_files.PathRefused:
            return "", "path leads out of the data set"
        except OSError:
            return "", "report unreadable"
        return text, reason_too_short(text)

    def read(self, path: str) -> bytes:
        """The bytes of one image."""
        return dataset_files.inside(self.folder, path).read_bytes()

    def fingerprint(self) -> bytes:
        """Changes when a table or the archive of reports does; see `cache` for the images."""
        parts = (
            dataset_files.digest(self.metadata),
            dataset_files.digest(self.split),
            self.reports.fingerprint(),
        )
        return b"".join(parts)


def _view_reason(view: str) -> str:
    if view in FRONTAL:
        return ""
    return f"view {view}" if view else "view not stated"
