"""File names: kept if they are numbers, dropped if they could name a patient."""

import pytest

from service.jobs.archives.safe_filenames import safe_filename


@pytest.mark.parametrize(
    "name",
    [
        "IM000001",
        "DICOM/PAT0/IM000001",
        "a\\b\\IMG-0001.dcm",
        "00001.dcm",
        "1.2.840.113619.2.5.1762583153.dcm",
        "chest_012.PNG",
        "image 3.jpeg",
    ],
)
def test_numbers_are_kept_without_their_folders(name: str) -> None:
    label = safe_filename(name)
    assert label is not None
    assert label == name.replace("\\", "/").rpartition("/")[2]


@pytest.mark.parametrize(
    "name",
    [
        "Doe^Jane.dcm",
        "Doe_Jane_1.dcm",
        "jane.png",
        "IM1 Doe.dcm",
        "Doe/..",
        "",
        ".",
        "..",
        "IM1\n",
        "IM1\0",
        "IM" + "1" * 100,
        "１２３",
        "1.dcm.exe",
        "<b>1</b>",
        "1" * 81,
    ],
)
def test_other_names_are_dropped(name: str) -> None:
    assert safe_filename(name) is None
