"""MIMIC-CXR in both releases, on a miniature copy in its real format."""

from pathlib import Path

import pytest

from tests.builders.datasets import tiny_sets
from tests.builders.datasets.opened_sets import cached, kept
from tests.builders.datasets.tiny_sets import REPORT, SAID, jpeg, write, write_csv
from tests.builders.files.sample_files import bright_rectangle, dicom_file
from training.data.catalog import open_reader
from training.data.rows.dataset_files import DataError, MissingData

STUDY = "files/p10/p10000032/s50414267"
IMAGES = (
    ("aa", 50414267, "PA", "train"),
    ("bb", 50414267, "AP", "train"),
    ("cc", 50414267, "LATERAL", "train"),
    ("dd", 50414267, "", "train"),
    ("ee", 50414267, "PA", ""),
    ("ff", 2, "AP", "validate"),
    ("gg", 3, "AP", "test"),
    ("hh", 4, "AP", "train"),
)
REPORTS = {50414267: REPORT.encode(), 2: b"IMPRESSION: Mild c\xe9phalization only.", 3: b"\n"}


def _reasons(root: Path, name: str) -> dict[str, str]:
    return {row.image.split("/")[-1]: row.left_out for row in open_reader(root, name).rows()}


def _mimic_jpg(folder: Path) -> None:
    tiny_sets.write_mimic_tables(folder, IMAGES)
    for number, (image, study, _, _) in enumerate(IMAGES):
        write(folder / f"files/p10/p10000032/s{study}/{image}.jpg", jpeg(number))
    tiny_sets.write_reports(folder / "mimic-cxr-reports.zip", REPORTS)


def test_mimic_cxr_jpg_keeps_frontal_images_with_a_report(tmp_path: Path) -> None:
    _mimic_jpg(tmp_path / "data" / "mimic_cxr_jpg")
    cache = cached(tmp_path / "data", "mimic_cxr_jpg")
    assert kept(cache) == {
        "aa.jpg": ("train", SAID),
        "bb.jpg": ("train", SAID),
        "ff.jpg": ("valid", "Mild céphalization only."),
    }
    assert cache.left_out == {
        "view LATERAL": 1,
        "view not stated": 1,
        "not in the official split": 1,
        "empty report": 1,
        "report missing": 1,
    }
    assert {sample.row.patient_id for sample in cache.samples} == {"10000032"}


@pytest.mark.parametrize("place", ["", "mimic-cxr-reports/"])
def test_mimic_reports_may_be_unpacked(place: str, tmp_path: Path) -> None:
    _mimic_jpg(tmp_path)
    (tmp_path / "mimic-cxr-reports.zip").unlink()
    for study, text in REPORTS.items():
        write(tmp_path / f"{place}files/p10/p10000032/s{study}.txt", text)
    assert _reasons(tmp_path, "mimic_cxr_jpg")["aa.jpg"] == ""
    assert _reasons(tmp_path, "mimic_cxr_jpg")["gg.jpg"] == "empty report"


@pytest.mark.parametrize(
    ("gone", "source"),
    [
        ("mimic-cxr-2.0.0-metadata.csv.gz", "MIMIC-CXR-JPG"),
        ("mimic-cxr-2.0.0-split.csv.gz", "MIMIC-CXR-JPG"),
        ("mimic-cxr-reports.zip", "physionet.org/content/mimic-cxr "),
    ],
)
def test_a_missing_file_of_mimic_is_named_with_its_source(
    gone: str, source: str, tmp_path: Path
) -> None:
    _mimic_jpg(tmp_path)
    (tmp_path / gone).unlink()
    with pytest.raises(MissingData, match=gone.removesuffix(".gz")) as raised:
        cached(tmp_path, "mimic_cxr_jpg")
    assert source in str(raised.value)
    assert "data use agreement" in str(raised.value)


def test_a_broken_archive_of_reports_is_refused_by_name(tmp_path: Path) -> None:
    _mimic_jpg(tmp_path)
    (tmp_path / "mimic-cxr-reports.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match="no ZIP"):
        cached(tmp_path, "mimic_cxr_jpg")


def test_a_truncated_table_is_refused_by_name(tmp_path: Path) -> None:
    _mimic_jpg(tmp_path)
    path = tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"metadata.csv.gz cannot be read after line"):
        list(open_reader(tmp_path, "mimic_cxr_jpg").rows())


def test_mimic_cxr_dicom_follows_its_lists(tmp_path: Path) -> None:
    tiny_sets.write_mimic_tables(tmp_path, IMAGES[:4])
    records = [
        {"subject_id": 10000032, "study_id": 50414267, "dicom_id": i, "path": f"{STUDY}/{i}.dcm"}
        for i in ("aa", "cc", "dd")
    ] + [{"dicom_id": "bb", "path": "../../../etc/passwd"}]
    columns = ("subject_id", "study_id", "dicom_id", "path")
    write_csv(tmp_path / "cxr-record-list.csv.gz", columns, records)
    studies = [{"subject_id": 10000032, "study_id": 50414267, "path": f"{STUDY}.txt"}]
    write_csv(tmp_path / "cxr-study-list.csv.gz", columns, studies)
    write(tmp_path / f"{STUDY}.txt", REPORT.encode())
    write(tmp_path / f"{STUDY}/aa.dcm", dicom_file(bright_rectangle(64, 64, (8, 8, 40, 40))))
    cache = cached(tmp_path, "mimic_cxr_dicom")
    assert kept(cache) == {"aa.dcm": ("train", SAID)}
    assert cache.images[0].max() == 255
    assert cache.left_out["the path leads out of the data set"] == 1
