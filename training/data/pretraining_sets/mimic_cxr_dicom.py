"""MIMIC-CXR: the same images as DICOM files, with their reports.

    <root>/mimic_cxr_dicom/   or <root>/
        files/p10/p10000032/s50414267/02aa804e-bde0afdd-112c0b34-7bc16630-4e384014.dcm
        cxr-record-list.csv[.gz]          subject_id, study_id, dicom_id, path
        cxr-study-list.csv[.gz]           subject_id, study_id, path
        mimic-cxr-reports.zip             also in <root>/, or unpacked
        mimic-cxr-2.0.0-metadata.csv[.gz] both from MIMIC-CXR-JPG: without them half of the
        mimic-cxr-2.0.0-split.csv[.gz]    files would be read only to find a lateral view

Paths are those of the two lists.

Source: physionet.org/content/mimic-cxr/2.1.0, section Data Description.
"""

from functools import cached_property
from pathlib import Path

from training.data.pretraining_sets.mimic_cxr import DICOM_SOURCE, MimicCxr
from training.data.rows import dataset_files


class MimicCxrDicom(MimicCxr):
    """The reader of MIMIC-CXR."""

    name = "mimic_cxr_dicom"
    source = DICOM_SOURCE

    def __init__(self, root: Path) -> None:
        """Look for the tree in `<root>/mimic_cxr_dicom`, or in `root`.

        Raises:
            MissingData: a table, the images or the reports are not there.
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
        """The record list's path; a file that the list does not name is missing."""
        return self._images.get(line["dicom_id"], f"{line['dicom_id']}.dcm")

    def report_path(self, subject: str, study: str) -> str:
        """The study list's path."""
        return self._studies.get(study) or super().report_path(subject, study)

    def fingerprint(self) -> bytes:
        """Changes when a table or the archive of reports does."""
        lists = dataset_files.digest(self.record_list) + dataset_files.digest(self.study_list)
        return super().fingerprint() + lists
