"""Each reader on a miniature tree in its data set's real format."""

from collections import Counter
from pathlib import Path

import pytest

from radiograph.preprocess import PreprocessSpec
from tests.builders.files.sample_files import bright_rectangle, dicom_file
from tests.builders.training import tiny_sets
from tests.builders.training.tiny_runs import SIZE_PX, picture
from tests.builders.training.tiny_sets import REPORT, SAID, config, jpeg, write, write_csv
from training.data.cache.cache import Cache, open_cache
from training.data.catalog import READERS, open_reader
from training.data.pretraining_sets.chexpert import LABELS
from training.data.rows.dataset_files import DataError, MissingData, PathRefused, inside
from training.data.rows.reader import Row
from training.data.rows.splits import split_of

SPEC = PreprocessSpec(size_px=SIZE_PX)
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


def _build(root: Path, name: str, tmp_path: Path) -> Cache:
    return open_cache(config(root, name), SPEC, tmp_path / "cache")


def _kept(cached: Cache) -> dict[str, tuple[str, str]]:
    return {s.row.image.split("/")[-1]: (s.row.split, s.row.text) for s in cached.samples}


def _reasons(root: Path, name: str) -> dict[str, str]:
    return {row.image.split("/")[-1]: row.left_out for row in open_reader(root, name).rows()}


def _mimic_jpg(folder: Path) -> None:
    tiny_sets.write_mimic_tables(folder, IMAGES)
    for number, (image, study, _, _) in enumerate(IMAGES):
        write(folder / f"files/p10/p10000032/s{study}/{image}.jpg", jpeg(number))
    tiny_sets.write_reports(folder / "mimic-cxr-reports.zip", REPORTS)


def test_mimic_cxr_jpg_keeps_frontal_images_with_a_report(tmp_path: Path) -> None:
    _mimic_jpg(tmp_path / "data" / "mimic_cxr_jpg")
    cached = _build(tmp_path / "data", "mimic_cxr_jpg", tmp_path)
    assert _kept(cached) == {
        "aa.jpg": ("train", SAID),
        "bb.jpg": ("train", SAID),
        "ff.jpg": ("valid", "Mild céphalization only."),
    }
    assert cached.left_out == {
        "view LATERAL": 1,
        "view not stated": 1,
        "not in the official split": 1,
        "empty report": 1,
        "report missing": 1,
    }
    assert {sample.row.patient_id for sample in cached.samples} == {"10000032"}


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
        _build(tmp_path, "mimic_cxr_jpg", tmp_path)
    assert source in str(raised.value)
    assert "data use agreement" in str(raised.value)


def test_a_broken_archive_of_reports_is_named(tmp_path: Path) -> None:
    _mimic_jpg(tmp_path)
    (tmp_path / "mimic-cxr-reports.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match="no ZIP"):
        _build(tmp_path, "mimic_cxr_jpg", tmp_path)


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
    cached = _build(tmp_path, "mimic_cxr_dicom", tmp_path)
    assert _kept(cached) == {"aa.dcm": ("train", SAID)}
    assert cached.images[0].max() == 255
    assert cached.left_out["the path leads out of the data set"] == 1


@pytest.mark.parametrize("prefix", ["CheXpert-v1.0-small/", "CheXpert-v1.0/", ""])
def test_chexpert_has_labels_and_no_report(prefix: str, tmp_path: Path) -> None:
    columns = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *LABELS)
    place = "patient00001/study1/view1_frontal.jpg"
    line = {"Path": f"{prefix}train/{place}", "Sex": "Female", "Age": 68, "AP/PA": "AP"}
    line |= {"Frontal/Lateral": "Frontal", "Edema": "1.0", "Fracture": "-1.0", "Pneumonia": "0.0"}
    side = line | {"Path": f"{prefix}train/p/view2_lateral.jpg", "Frontal/Lateral": "Lateral"}
    write_csv(tmp_path / "train.csv", columns, [line, side])
    write_csv(tmp_path / "valid.csv", columns, [line | {"Path": f"{prefix}valid/{place}"}])
    for split in ("train", "valid"):
        write(tmp_path / split / place, jpeg(1))
    cached = _build(tmp_path, "chexpert", tmp_path)
    row = cached.samples[0].row
    assert (row.labels, row.uncertain, row.text) == (("Edema",), ("Fracture",), "")
    assert (row.patient_id, row.sex, row.age, row.view) == ("patient00001", "F", "68", "AP")
    assert [s.row.split for s in cached.samples] == ["train", "valid"]
    assert cached.left_out == {"lateral view": 1}


def test_chexpert_plus_reads_sections_or_the_report(tmp_path: Path) -> None:
    path = "train/patient42142/study5/view1_frontal.jpg"
    line = {
        "path_to_image": path,
        "frontal_lateral": "Frontal",
        "ap_pa": "AP",
        "deid_patient_id": "patient42142",
        "section_impression": "\n1.TUBE REMAINS IN PLACE.\n\n2.NO PNEUMOTHORAX.",
        "split": "train",
    }
    other = path.replace("study5", "study6")
    whole = line | {"path_to_image": other, "section_impression": "", "report": REPORT}
    side = line | {"path_to_image": "train/x/view2_lateral.jpg", "frontal_lateral": "Lateral"}
    table = tmp_path / "df_chexpert_plus_240401.csv"
    write_csv(table, tiny_sets.CHEXPERT_PLUS, [line, whole, side])
    for image in (path, other):
        write(tmp_path / "PNG" / Path(image).with_suffix(".png"), picture(1))
    cached = _build(tmp_path, "chexpert_plus", tmp_path)
    said = [sample.row.text for sample in cached.samples]
    assert said == ["TUBE REMAINS IN PLACE. NO PNEUMOTHORAX.", SAID]
    assert cached.left_out == {"lateral view": 1}


def test_padchest_keeps_the_spanish_text_and_frontal_views(tmp_path: Path) -> None:
    line = {
        "ImageID": "1_a.png",
        "ImageDir": "0",
        "StudyDate_DICOM": "20140915",
        "PatientID": "7",
        "PatientBirth": "1950.0",
        "PatientSex_DICOM": "M",
        "Projection": "PA",
        "Report": "sin hallazg patolog .  torax normal .",
        "Labels": "['normal', ' scoliosis']",
    }
    lines = [
        line,
        line | {"ImageID": "2_a.png", "Projection": "AP_horizontal", "Labels": "[nan, "},
        line | {"ImageID": "3_a.png", "Projection": "L"},
        line | {"ImageID": "4_a.png", "Report": ""},
        line | {"ImageID": "5_a.png", "ImageDir": "../.."},
    ]
    name = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"
    write_csv(tmp_path / name, tiny_sets.PADCHEST, lines)
    write(tmp_path / "0" / "1_a.png", tiny_sets.deep_png(1))
    write(tmp_path / "images" / "2_a.png", tiny_sets.deep_png(2))
    cached = _build(tmp_path, "padchest", tmp_path)
    said = (split_of("7"), "sin hallazg patolog . torax normal .")
    assert _kept(cached) == {"1_a.png": said, "2_a.png": said}
    row = cached.samples[0].row
    assert (row.labels, row.age, row.sex) == (("normal", "scoliosis"), "64", "M")
    assert cached.left_out == {
        "view L": 1,
        "empty report": 1,
        "the path leads out of the data set": 1,
    }


def _projections(folder: Path) -> None:
    columns = ("uid", "filename", "projection")
    images = (("1_IM-0001-4001", "Frontal"), ("1_IM-0001-3001", "Lateral"))
    lines = [{"uid": 1, "filename": f"{i}.dcm.png", "projection": view} for i, view in images]
    write_csv(folder / "indiana_projections.csv", columns, lines)


def test_open_i_from_its_xml(tmp_path: Path) -> None:
    _projections(tmp_path)
    parts = "".join(f'<parentImage id="CXR1_1_IM-0001-{n}"/>' for n in (3001, 4001, 9))
    abstract = (
        '<AbstractText Label="COMPARISON">None.</AbstractText>'
        '<AbstractText Label="FINDINGS">No XXXX of effusion.</AbstractText>'
        '<AbstractText Label="IMPRESSION">Normal chest.</AbstractText>'
    )
    write(tmp_path / "ecgen-radiology/1.xml", f"<eCitation>{abstract}{parts}</eCitation>".encode())
    write(tmp_path / "ecgen-radiology/2.xml", b"<eCitation><broken")
    bomb = b'<!DOCTYPE a [<!ENTITY b "bb">]><eCitation>&b;</eCitation>'
    write(tmp_path / "ecgen-radiology/3.xml", bomb)
    write(tmp_path / "NLMCXR_png/CXR1_1_IM-0001-4001.png", picture(1))
    cached = _build(tmp_path, "open_i", tmp_path)
    said = (split_of("1"), "Normal chest. No of effusion.")
    assert _kept(cached) == {"CXR1_1_IM-0001-4001.png": said}
    assert cached.left_out == {"report unreadable": 2, "lateral view": 1, "view not stated": 1}


def test_open_i_from_kaggle(tmp_path: Path) -> None:
    _projections(tmp_path)
    columns = ("uid", "MeSH", "Problems", "image", "indication", "findings", "impression")
    line = {"uid": 1, "findings": "Heart is normal.", "impression": "Normal chest x-XXXX."}
    write_csv(tmp_path / "indiana_reports.csv", columns, [line])
    write(tmp_path / "images/images_normalized/1_IM-0001-4001.dcm.png", picture(1))
    cached = _build(tmp_path, "open_i", tmp_path)
    assert [s.row.text for s in cached.samples] == ["Normal chest x-. Heart is normal."]


@pytest.mark.parametrize("name", sorted(READERS))
def test_an_empty_folder_is_told_by_what_it_lacks(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="It comes from"):
        open_reader(tmp_path, name)


@pytest.mark.parametrize(
    "path", ["../x.png", "a/../../x", "/etc/passwd", "", "a\\..\\x", "a\0.png", ".."]
)
def test_a_path_out_of_the_data_set_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(PathRefused):
        inside(tmp_path, path)


def _split_counts(rows: list[Row]) -> Counter[str]:
    return Counter(row.split for row in rows)


def test_pairs_without_a_split_are_divided_by_patient(tmp_path: Path) -> None:
    lines = [
        {"image": f"{i}.png", "text": "Heart is normal.", "patient": f"p{i // 2}"}
        for i in range(2000)
    ]
    tiny_sets.write_pairs(tmp_path, lines)
    rows = list(open_reader(tmp_path, "pairs").rows())
    assert len({(row.patient_id, row.split) for row in rows}) == 1000
    counts = _split_counts(rows)
    assert 1700 < counts["train"] < 1900
    assert counts["valid"] > 60 < counts["test"]
    tiny_sets.write_pairs(tmp_path, lines[::-1])
    assert {r.image: r.split for r in open_reader(tmp_path, "pairs").rows()} == {
        r.image: r.split for r in rows
    }


def test_pairs_with_some_splits_keep_patients_together(tmp_path: Path) -> None:
    given = [("a", "val"), ("a", ""), ("b", "train"), ("b", "test"), ("c", "dev"), ("", "")]
    lines = [
        {"image": f"{i}.png", "text": "Heart is normal.", "patient": patient, "split": split}
        for i, (patient, split) in enumerate(given)
    ]
    tiny_sets.write_pairs(tmp_path, lines)
    rows = list(open_reader(tmp_path, "pairs").rows())
    assert [row.split for row in rows[:2]] == ["valid", "valid"]
    assert [row.left_out for row in rows[2:]] == [
        *["patient in several splits"] * 2,
        "unknown split",
        "neither patient nor split",
    ]


def test_pairs_without_a_column_are_refused_by_its_name(tmp_path: Path) -> None:
    tiny_sets.write_pairs(tmp_path, [{"image": "0.png", "report": "Normal.", "patient": "1"}])
    with pytest.raises(DataError, match="no column text; its columns are: image, report"):
        list(open_reader(tmp_path, "pairs").rows())


def test_pairs_in_windows_1252_with_short_lines_are_read(tmp_path: Path) -> None:
    text = b"image,text,patient,split\r\n0.png,Caf\xe9 au lait \x96 stable,1,train\r\n1.png\r\n"
    write(tmp_path / "pairs.csv", text)
    first, second = open_reader(tmp_path, "pairs").rows()
    assert first.text == "Café au lait – stable"
    assert second.left_out == "neither patient nor split"


def test_a_table_that_breaks_off_is_named(tmp_path: Path) -> None:
    _mimic_jpg(tmp_path)
    path = tmp_path / "mimic-cxr-2.0.0-metadata.csv.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"metadata.csv.gz cannot be read after line"):
        list(open_reader(tmp_path, "mimic_cxr_jpg").rows())
