"""Study and patient are taken from the header letter for letter, or not at all."""

from datetime import date
from typing import Any

import pytest

from radiograph.limits import DEFAULT_LIMITS
from radiograph.readers.header.study import study_identity
from radiograph.readers.part10 import parse
from radiograph.study import StudyIdentity
from tests.builders.files import dicom_files as files
from tests.builders.files.dicom_files import ramp


def read(**attributes: Any) -> StudyIdentity:
    made = files.dataset(ramp(), **attributes)
    return study_identity(parse(files.write(made, ramp().tobytes()), DEFAULT_LIMITS)[0])


def test_a_usual_header_identifies_study_and_patient() -> None:
    found = read(
        StudyInstanceUID="1.2.840.99.1",
        StudyDate="20260131",
        PatientID=" 00-1a2B ",
        IssuerOfPatientID="St. Elsewhere",
    )
    assert found == StudyIdentity(
        study_instance_uid="1.2.840.99.1",
        study_date=date(2026, 1, 31),
        patient_id="00-1a2B",
        issuer_of_patient_id="St. Elsewhere",
    )


def test_a_header_without_them_identifies_nothing() -> None:
    assert read(StudyInstanceUID="", PatientID="") == StudyIdentity()


@pytest.mark.parametrize(
    ("character_set", "encoded"),
    [("ISO_IR 192", "utf-8"), ("ISO_IR 100", "latin-1")],
)
def test_a_patient_id_is_read_in_its_character_set(character_set: str, encoded: str) -> None:
    made = read(SpecificCharacterSet=character_set, PatientID="Zoë-7".encode(encoded))
    assert made.patient_id == "Zoë-7"


def test_a_patient_id_that_its_character_set_does_not_hold_is_left_out() -> None:
    made = read(SpecificCharacterSet="ISO_IR 192", PatientID=b"Zo\xeb-7")
    assert made.patient_id is None


@pytest.mark.parametrize("value", [b"12\x0034", b"12\n34", b"12\\34", b"\x1b[31m7", b"9" * 257])
def test_a_patient_id_that_cannot_be_repeated_in_full_is_left_out(value: bytes) -> None:
    assert read(PatientID=value).patient_id is None


@pytest.mark.parametrize("text", ["19400305X", "20260230", "2026.01.31", "00000000", "2026013"])
def test_an_odd_date_is_left_out(text: str) -> None:
    assert read(StudyDate=text).study_date is None


@pytest.mark.parametrize(
    ("uid", "kept"),
    [("1.02.3", "1.02.3"), ("9" * 100, "9" * 100), ("1.2.x", None), ("1.2\n.3", None)],
)
def test_an_odd_study_uid_is_kept_as_far_as_it_is_one(uid: str, kept: str | None) -> None:
    assert read(StudyInstanceUID=uid).study_instance_uid == kept


def test_the_identity_does_not_show_the_patient() -> None:
    assert "12345" not in repr(read(PatientID="12345", IssuerOfPatientID="12345"))
