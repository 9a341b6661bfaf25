"""Every reader of the catalog: missing files, missing columns and hostile paths."""

from pathlib import Path

import pytest

from tests.builders.datasets.tiny_downstream import (
    SQUARE,
    frontal,
    write_chexpert,
    write_cxr14,
    write_object_cxr,
    write_rsna,
    write_siim,
)
from tests.builders.datasets.tiny_sets import write
from training.data.catalog import DOWNSTREAM, READERS, open_reader
from training.data.rows.dataset_files import DataError, MissingData, PathRefused

ESCAPE = "../../../etc/passwd"


@pytest.mark.parametrize("name", sorted(READERS))
def test_an_empty_folder_is_refused_with_the_source_of_its_data(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="It comes from"):
        open_reader(tmp_path, name)


@pytest.mark.parametrize("name", sorted(DOWNSTREAM))
def test_all_missing_parts_are_named_at_once(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"missing in .*; .*It comes from"):
        open_reader(tmp_path, name)


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("rsna", "stage_2_train_labels.csv"),
        ("rsna", "stage_2_detailed_class_info.csv"),
        ("siim", "train-rle.csv"),
        ("cxr14", "Data_Entry_2017_v2020.csv"),
        ("object_cxr", "train.csv"),
        ("chexpert_competition", "train.csv"),
    ],
)
def test_a_missing_column_is_named(name: str, table: str, tmp_path: Path) -> None:
    for folder in ("stage_2_train_images", "dicom-images-train", "images", "train", "dev", "valid"):
        (tmp_path / folder).mkdir()
    write_rsna(tmp_path, {"a": ()})
    write_siim(tmp_path, [("a", "-1")])
    write_cxr14(tmp_path, [("a.png", "1", "Mass")])
    if name == "object_cxr":
        write_object_cxr(tmp_path, {"a.jpg": ""})
    if name == "chexpert_competition":
        write_chexpert(tmp_path, [frontal("train", 1)], [frontal("valid", 2)])
    write(tmp_path / table, b"something,else\n1,2\n")
    with pytest.raises(DataError, match=r"has no column .*; its columns are: something, else"):
        list(open_reader(tmp_path, name).rows())


@pytest.mark.parametrize("name", ["rsna", "siim", "object_cxr"])
@pytest.mark.parametrize("path", ["mask:" + ESCAPE, "mask:", "mask:train/" + ESCAPE, ESCAPE])
def test_no_path_leads_out_of_a_data_set(name: str, path: str, tmp_path: Path) -> None:
    write_rsna(tmp_path / "rsna", {f"{i}": () for i in range(8)}, image=SQUARE)
    write_siim(tmp_path / "siim", [(f"{i}", "-1") for i in range(8)])
    write_object_cxr(tmp_path / "object_cxr", {f"{i}.jpg": "" for i in range(8)})
    with pytest.raises((PathRefused, FileNotFoundError)):
        open_reader(tmp_path, name).read(path)
