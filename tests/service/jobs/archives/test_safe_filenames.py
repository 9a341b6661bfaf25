"""File names: kept if they are counters, dropped if they could name a patient or a study."""

import pytest

from service.jobs.archives.safe_filenames import safe_filename


@pytest.mark.parametrize(
    "name",
    [
        "IM000001",
        "IMG-0001-00012.dcm",
        "DICOM/PAT0/IM000001",
        "a\\b\\IMG-0001.dcm",
        "chest_012.PNG",
        "image 3.jpeg",
    ],
)
def test_counters_are_kept_without_their_folders(name: str) -> None:
    label = safe_filename(name)
    assert label is not None
    assert label == name.replace("\\", "/").rpartition("/")[2]


NUMERIC = {
    "number of a patient": "4711.dcm",
    "number with zeros": "00001.png",
    "number with separators": "12-34-56",
    "date": "1962-03-04.dcm",
    "UID": "1.2.840.113619.2.5.1762583153.dcm",
    "accession number": "CR20240131.dcm",
    "number after a word": "image-123456",
}


@pytest.mark.parametrize("name", NUMERIC.values(), ids=NUMERIC)
def test_numbers_of_patients_and_studies_are_dropped_unless_asked_for(name: str) -> None:
    assert safe_filename(name) is None
    assert safe_filename(name, keep_numbers=True) == name


@pytest.mark.parametrize("keep_numbers", [False, True])
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
def test_other_names_are_dropped(name: str, *, keep_numbers: bool) -> None:
    assert safe_filename(name, keep_numbers=keep_numbers) is None
