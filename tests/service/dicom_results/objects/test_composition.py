"""Patient, study, times, UIDs and character sets of every kind of object."""

import warnings
from typing import Any

import pytest
from pydicom.dataset import Dataset

from service.dicom_results.kinds import ObjectKind
from service.dicom_results.options import DicomResultOptions
from tests.builders.service.results.dicom_results import (
    STUDY,
    known_result,
    objects,
    one,
    opened,
    source,
)

pytest.importorskip("highdicom")

KINDS = pytest.mark.parametrize("kind", ObjectKind)
CLOCKED = ("Series", "Content", "PresentationCreation")


def uids(data: bytes, options: DicomResultOptions | None = None, **changes: Any) -> set[str]:
    return {item.sop_instance_uid for item in objects(data, options=options, **changes).values()}


def test_a_repeated_request_gives_equal_bytes() -> None:
    once, again = objects(source()), objects(source())
    assert {kind: item.data for kind, item in once.items()} == {
        kind: item.data for kind, item in again.items()
    }
    assert len({item.sop_instance_uid for item in once.values()}) == len(ObjectKind)
    assert len({opened(item).SeriesInstanceUID for item in once.values()}) == len(ObjectKind)


@pytest.mark.parametrize(
    "attributes",
    [
        {"PatientName": "Doe^Joan"},
        {"PatientID": "4712"},
        {"AccessionNumber": "A2"},
        {"StudyDescription": "Chest"},
        {"SpecificCharacterSet": "ISO_IR 100"},
        {"WindowCenter": "1", "WindowWidth": "2"},
        {"SOPInstanceUID": "1.2.3.9"},
    ],
)
def test_a_changed_header_gives_new_uids(attributes: dict[str, Any]) -> None:
    """Acceptance: a corrected header is another object (dcm4chee#4754, healthcare-adapter#138)."""
    assert uids(source()) & uids(source(**attributes)) == set()


def test_another_version_phrase_or_option_gives_new_uids() -> None:
    data = source()
    first = known_result(data)
    assert uids(data) & uids(data, DicomResultOptions(series_number=5)) == set()
    assert uids(data) & uids(data, groundings=None) == set()
    other = type(first.model)("tiny", 1, "1" * 64)
    assert uids(data) & uids(data, model=other) == set()


@KINDS
def test_over_long_and_odd_identifiers_stay_verbatim(kind: ObjectKind) -> None:
    odd = {
        "AccessionNumber": "ACCESSION-NUMBER-OF-30-LETTERS",
        "PatientID": "P" * 80,
        "StudyID": "STUDY-ID-OF-22-LETTERS",
        "StudyInstanceUID": "1.02.3",
    }
    item = objects(source(**odd), (kind,))[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of such values
        made = opened(item)
        assert {keyword: made[keyword].value for keyword in odd} == odd
        studies = [
            element.value for element in made.iterall() if element.name == "Study Instance UID"
        ]
    assert set(studies) == {"1.02.3"}


@KINDS
def test_a_source_without_patient_and_study_gives_empty_attributes(kind: ObjectKind) -> None:
    missing = dict.fromkeys(
        (
            "PatientName",
            "PatientID",
            "PatientBirthDate",
            "PatientSex",
            "StudyDate",
            "StudyTime",
            "StudyID",
            "AccessionNumber",
        )
    )
    made = one(kind, source(**missing))
    assert {keyword: str(made[keyword].value or "") for keyword in missing} == dict.fromkeys(
        missing, ""
    )
    assert made.SeriesDate == "19000101"


@pytest.mark.parametrize(
    ("keyword", "stated", "written"),
    [
        ("PatientSex", "W", ""),
        ("PatientSex", "U", ""),
        ("PatientSex", "O", "O"),
        ("PatientBirthDate", "19400305X", ""),
        ("PatientBirthDate", "1940.03.05", "19400305"),
        ("StudyTime", "10:30:00", "103000"),
        ("StudyTime", "25", ""),
        ("StudyDate", "20241301", ""),
        ("PatientAge", "62", None),
        ("PatientAge", "062Y", "062Y"),
        ("PatientWeight", "-5", None),
        ("PatientSize", "1.80", 1.8),
    ],
)
def test_values_that_no_object_may_hold_are_left_out(
    keyword: str, stated: str, written: object
) -> None:
    made = one(ObjectKind.SEG, source(**{keyword: stated}))
    assert (made[keyword].value if keyword in made else None) == written


@KINDS
def test_times_are_those_of_the_source_with_its_offset(kind: ObjectKind) -> None:
    """Acceptance: times in the zone of the source, series dates set (app-sdk#346, OHIF PR 6222)."""
    data = source(
        TimezoneOffsetFromUTC="-0400", AcquisitionDate="20240131", AcquisitionTime="235959.5"
    )
    made = one(kind, data)
    assert made.TimezoneOffsetFromUTC == "-0400"
    assert (made.SeriesDate, made.SeriesTime) == ("20240131", "235959.5")
    for name in CLOCKED:
        if f"{name}Date" in made:
            assert (made[f"{name}Date"].value, made[f"{name}Time"].value) == (
                "20240131",
                "235959.5",
            )


@KINDS
def test_no_object_states_when_it_was_made(kind: ObjectKind) -> None:
    """That would be the time of the radiograph or of the clock: false, or another each time."""
    made = one(kind, source())
    names = ("InstanceCreation", "DateOfSecondaryCapture", "TimeOfSecondaryCapture")
    assert [element.keyword for element in made if element.keyword.startswith(names)] == []


def test_the_zone_of_the_site_gives_the_offset_of_the_season() -> None:
    options = DicomResultOptions(time_zone="Europe/Berlin")
    winter = one(ObjectKind.SEG, source(), options)
    summer = one(ObjectKind.SEG, source(StudyDate="20240731"), options)
    assert (winter.TimezoneOffsetFromUTC, summer.TimezoneOffsetFromUTC) == ("+0100", "+0200")
    assert "TimezoneOffsetFromUTC" not in one(ObjectKind.SEG, source())


CHARACTER_SETS = [
    ([], "Doe^Jane", None),
    (["ISO_IR 100"], "Müller^Jürgen", "ISO_IR 100"),
    (["ISO_IR 101"], "Dvořák^Antonín", "ISO_IR 101"),
    (["ISO_IR 144"], "Люкceмбypг", "ISO_IR 144"),
    (["ISO_IR 126"], "Διονυσιος", "ISO_IR 126"),
    (["ISO_IR 192"], "Wang^XiaoDong=王^小東", "ISO_IR 192"),
    (["GB18030"], "Wang^XiaoDong=王^小东", "GB18030"),
    (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", "ISO_IR 192"),
    (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동", "ISO_IR 192"),
]


def name_of(made: Dataset) -> str:
    return str(made.PatientName)


@KINDS
@pytest.mark.parametrize(("terms", "name", "written"), CHARACTER_SETS)
def test_names_are_equal_in_every_character_set(
    kind: ObjectKind, terms: list[str], name: str, written: str | None
) -> None:
    """Acceptance: equal names, Japanese and Korean too (pydicom#716, pydicom#2243, dcmqi#233)."""
    data = source(SpecificCharacterSet=terms or None, PatientName=name)
    made = one(kind, data)
    assert name_of(made) == name
    assert made.get("SpecificCharacterSet") == written


def test_a_phrase_that_the_character_set_cannot_hold_makes_it_utf_8() -> None:
    data = source(SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jürgen")
    known = known_result(data).groundings or ()
    phrase = type(known[0])("肺炎", "aligned", 0.9, known[0].heatmap)
    made = one(ObjectKind.HEATMAP, data, groundings=(phrase,))
    assert made.SpecificCharacterSet == "ISO_IR 192"
    assert made.SegmentSequence[0].SegmentLabel == "肺炎"
    assert name_of(made) == "Müller^Jürgen"


def test_the_site_can_have_utf_8_throughout() -> None:
    data = source(SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jürgen")
    made = one(ObjectKind.SEG, data, DicomResultOptions(charset="utf-8"))
    assert made.SpecificCharacterSet == "ISO_IR 192"
    assert name_of(made) == "Müller^Jürgen"


@KINDS
def test_every_kind_is_in_the_study_with_a_series_of_its_own(kind: ObjectKind) -> None:
    made = one(kind, source(), DicomResultOptions(series_number=700, series_prefix="Ω"))
    assert made.StudyInstanceUID == STUDY
    assert made.SeriesNumber == 700 + list(ObjectKind).index(kind)
    assert made.SeriesDescription.startswith("Ω ")
    assert made.SoftwareVersions == "1"
