"""Miniature data sets in the format of each release, built on the spot."""

import csv
import gzip
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tests.builders.training.runs.tiny_runs import SIZE_PX, picture
from training.config.run import DataConfig

REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___ year old woman with cough

 FINDINGS:

 The lungs are
 clear.

 IMPRESSION:

 No acute process.
"""
SAID = "No acute process. The lungs are clear."
METADATA = (
    "dicom_id",
    "subject_id",
    "study_id",
    "PerformedProcedureStepDescription",
    "ViewPosition",
    "Rows",
    "Columns",
    "StudyDate",
    "StudyTime",
    "ProcedureCodeSequence_CodeMeaning",
    "ViewCodeSequence_CodeMeaning",
    "PatientOrientationCodeSequence_CodeMeaning",
)
PADCHEST = (
    "ImageID",
    "ImageDir",
    "StudyDate_DICOM",
    "StudyID",
    "PatientID",
    "PatientBirth",
    "PatientSex_DICOM",
    "ViewPosition_DICOM",
    "Projection",
    "MethodProjection",
    "Pediatric",
    "Modality_DICOM",
    "ReportID",
    "Report",
    "MethodLabel",
    "Labels",
    "Localizations",
    "LabelsLocalizationsBySentence",
    "labelCUIS",
    "LocalizationsCUIS",
)
CHEXPERT_PLUS = (
    "path_to_image",
    "path_to_dcm",
    "frontal_lateral",
    "ap_pa",
    "deid_patient_id",
    "patient_report_date_order",
    "report",
    "section_narrative",
    "section_clinical_history",
    "section_history",
    "section_comparison",
    "section_technique",
    "section_procedure_comments",
    "section_findings",
    "section_impression",
    "section_end_of_impression",
    "section_summary",
    "section_accession_number",
    "age",
    "sex",
    "race",
    "ethnicity",
    "interpreter_needed",
    "insurance_type",
    "recent_bmi",
    "deceased",
    "split",
)


def config(root: Path, *tables: str) -> DataConfig:
    """Every licence class of some data sets."""
    return DataConfig(root=root, tables=tables, licences=("open", "noncommercial"))


def write(path: Path, data: bytes) -> None:
    """A file with the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_csv(path: Path, columns: Sequence[str], lines: Sequence[Mapping[str, object]]) -> None:
    """A CSV, gzipped where its name says so; a column that a line does not have is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(lines)
    data = text.getvalue().encode()
    write(path, gzip.compress(data) if path.suffix == ".gz" else data)


def jpeg(seed: int) -> bytes:
    """A grayscale JPEG."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(picture(seed))).save(buffer, "JPEG")
    return buffer.getvalue()


def deep_png(seed: int) -> bytes:
    """A PNG of 16 bits."""
    pixels = np.random.default_rng(seed).integers(0, 4096, (SIZE_PX, SIZE_PX)).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_mimic_tables(folder: Path, images: Sequence[tuple[str, int, str, str]]) -> None:
    """Metadata and split of (dicom_id, study_id, ViewPosition, split), one subject."""
    lines = [
        {"dicom_id": image, "subject_id": 10000032, "study_id": study, "ViewPosition": view}
        for image, study, view, _ in images
    ]
    write_csv(folder / "mimic-cxr-2.0.0-metadata.csv.gz", METADATA, lines)
    splits = [
        {"dicom_id": image, "study_id": study, "subject_id": 10000032, "split": split}
        for image, study, _, split in images
        if split
    ]
    columns = ("dicom_id", "study_id", "subject_id", "split")
    write_csv(folder / "mimic-cxr-2.0.0-split.csv.gz", columns, splits)


def write_reports(path: Path, reports: Mapping[int, bytes]) -> None:
    """`mimic-cxr-reports.zip` of study -> text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for study, text in reports.items():
            archive.writestr(f"files/p10/p10000032/s{study}.txt", text)


def write_pairs(root: Path, lines: Sequence[Mapping[str, object]], images: int = 0) -> DataConfig:
    """`pairs.csv` and images 0.png, 1.png, ... beside it."""
    columns = tuple(dict.fromkeys(key for line in lines for key in line))
    write_csv(root / "pairs.csv", columns, lines)
    for number in range(images):
        write(root / f"{number}.png", picture(number))
    return config(root, "pairs")
