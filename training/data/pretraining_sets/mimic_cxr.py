"""MIMIC-CXR, as DICOM files and as the JPEG images of MIMIC-CXR-JPG, with the same reports.

    <root>/mimic_cxr_jpg/   or <root>/
        files/p10/p10000032/s50414267/02aa804e-bde0afdd-112c0b34-7bc16630-4e384014.jpg

    <root>/mimic_cxr_dicom/   or <root>/
        files/p10/p10000032/s50414267/02aa804e-bde0afdd-112c0b34-7bc16630-4e384014.dcm
        cxr-record-list.csv[.gz]            subject_id, study_id, dicom_id, path
        cxr-study-list.csv[.gz]             subject_id, study_id, path

    in either
        mimic-cxr-2.0.0-metadata.csv[.gz]   dicom_id, subject_id, study_id, ViewPosition, ...
        mimic-cxr-2.0.0-split.csv[.gz]      dicom_id, study_id, subject_id, split
        mimic-cxr-reports.zip               files/p10/p10000032/s50414267.txt, one for each study;
                                            also in <root>/

Metadata and split come with MIMIC-CXR-JPG (2.0.0 and 2.1.0 name them alike), the reports with
MIMIC-CXR, both from PhysioNet under its credentialed health data licence. The DICOM release needs
the metadata too: without them half of the files would be read only to find a lateral view. The
reports may be unpacked, into `mimic-cxr-reports/` or so that `files/` is here.

Views PA and AP are kept; lateral, oblique and unstated views are left out. All frontal images of a
study share its report. The split is the official one: train, validate and test.

Source: physionet.org/content/mimic-cxr-jpg/2.1.0 and physionet.org/content/mimic-cxr/2.1.0, section
Data Description.
"""

import zipfile
from collections.abc import Iterator
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path
from typing import Protocol

from training.data.rows import dataset_files
from training.data.rows.reader import Row
from training.data.text.report_cleaning import reason_too_short
from training.data.text.report_sections import pair_text

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
    """Archive or folder that holds the reports."""

    def read(self, path: str) -> bytes:
        """Return the bytes of `files/p10/p10000032/s50414267.txt`.

        Raises:
            FileNotFoundError: there is no such report.
        """

    def fingerprint(self) -> bytes:
        """Return bytes that change when the archive does."""


class _Folder:
    """Unpacked reports; they are part of a release and not fingerprinted one by one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: str) -> bytes:
        return dataset_files.inside(self._folder, path).read_bytes()

    def fingerprint(self) -> bytes:
        return b"folder"


class _Archive:
    """Reports in the archive of the release."""

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
    """Rows of either release; a subclass locates the images."""

    name: str
    source: str

    def __init__(self, root: Path) -> None:
        """Open the release in `<root>/<name>`, or in `root`.

        Raises:
            MissingData: a table or the images are missing.
        """
        self.folder = dataset_files.locate(root, self.name)
        self.metadata = dataset_files.table(self.folder, METADATA, JPG_SOURCE)
        self.split = dataset_files.table(self.folder, SPLIT, JPG_SOURCE)
        dataset_files.required_folder(self.folder, "files", self.source)
        self._root = root

    @cached_property
    def reports(self) -> ReportSource:
        """Archive or folder of reports.

        Raises:
            MissingData: there is neither.
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
        """Return the path of the image of one line of the metadata."""
        raise NotImplementedError

    def report_path(self, subject: str, study: str) -> str:
        """Return the path of the report of a study."""
        return f"files/p{subject[:2]}/p{subject}/s{study}.txt"

    def rows(self) -> Iterator[Row]:
        """Yield one row for each image, in the order of the metadata."""
        splits = {
            line["dicom_id"]: _SPLITS.get(line["split"], "")
            for line in dataset_files.records(self.split, ("dicom_id", "split"))
        }
        report = lru_cache(64)(self._report)  # the images of a study follow each other
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
        """Return the text of a study, and the reason why it cannot be used or ""."""
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
        """Return the bytes of one image."""
        return dataset_files.inside(self.folder, path).read_bytes()

    def fingerprint(self) -> bytes:
        """Return the digests of the tables and of the archive of reports."""
        parts = (
            dataset_files.digest(self.metadata),
            dataset_files.digest(self.split),
            self.reports.fingerprint(),
        )
        return b"".join(parts)


class MimicCxrJpg(MimicCxr):
    """Reader of MIMIC-CXR-JPG."""

    name = "mimic_cxr_jpg"
    source = JPG_SOURCE

    def image_path(self, line: dict[str, str]) -> str:
        """Return `files/p10/p10000032/s50414267/<dicom_id>.jpg`."""
        subject, study = line["subject_id"], line["study_id"]
        return f"files/p{subject[:2]}/p{subject}/s{study}/{line['dicom_id']}.jpg"


class MimicCxrDicom(MimicCxr):
    """Reader of MIMIC-CXR, with DICOM files."""

    name = "mimic_cxr_dicom"
    source = DICOM_SOURCE

    def __init__(self, root: Path) -> None:
        """Open the release in `<root>/mimic_cxr_dicom`, or in `root`.

        Raises:
            MissingData: a table or the images are missing.
        """
        super().__init__(root)
        self.record_list = dataset_files.table(self.folder, "cxr-record-list.csv", DICOM_SOURCE)
        self.study_list = dataset_files.table(self.folder, "cxr-study-list.csv", DICOM_SOURCE)

    @cached_property
    def _images(self) -> dict[str, str]:
        lines = dataset_files.records(self.record_list, ("dicom_id", "path"))
        return {line["dicom_id"]: line["path"] for line in lines}

    @cached_property
    def _studies(self) -> dict[str, str]:
        lines = dataset_files.records(self.study_list, ("study_id", "path"))
        return {line["study_id"]: line["path"] for line in lines}

    def image_path(self, line: dict[str, str]) -> str:
        """Return the path in the record list; a file that is not listed does not exist."""
        return self._images.get(line["dicom_id"], f"{line['dicom_id']}.dcm")

    def report_path(self, subject: str, study: str) -> str:
        """Return the path in the study list."""
        return self._studies.get(study) or super().report_path(subject, study)

    def fingerprint(self) -> bytes:
        """Return the digests of the tables, the lists and the archive of reports."""
        lists = dataset_files.digest(self.record_list) + dataset_files.digest(self.study_list)
        return super().fingerprint() + lists


def _view_reason(view: str) -> str:
    if view in FRONTAL:
        return ""
    return f"view {view}" if view else "view not stated"
