from typing import Any

import pytest
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes as concepts

from radiograph.image import Radiograph
from radiograph.readers import dicom as reader
from radiograph.readers.header import header_warnings
from tests.builders.files import dicom_files as files
from tests.builders.files.dicom_files import codes, item, ramp


def radiograph(**attributes: Any) -> Radiograph:
    made = files.dataset(ramp(), **attributes)
    return reader.read(files.write(made, ramp().tobytes()))


def warned(**attributes: Any) -> list[str]:
    return codes(radiograph(**attributes).warnings)


def code_item(value: str, scheme: str = "SCT") -> Sequence:
    return Sequence([item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning="x")])


@pytest.mark.parametrize("view", ["LL", "RL", "LATERAL", "LAT", "lateral", "LT LAT"])
def test_a_lateral_view_gives_a_warning(view: str) -> None:
    assert warned(ViewPosition=view) == ["lateral_view"]


@pytest.mark.parametrize("view", ["PA", "AP", "pa", "PA ERECT", "AP SUPINE"])
def test_a_frontal_view_gives_no_warning(view: str) -> None:
    assert warned(ViewPosition=view) == []


@pytest.mark.parametrize("view", ["LLD", "RLD", "LAO", "RPO", "SWIMMER"])
def test_an_oblique_or_decubitus_view_is_unusual(view: str) -> None:
    assert warned(ViewPosition=view) == ["view_unusual"]


def test_the_view_is_taken_from_its_code_where_the_position_is_missing() -> None:
    left = concepts.cid4010.LeftLateral.value
    made = radiograph(ViewPosition=None, ViewCodeSequence=code_item(left))
    assert made.view_position == "LL"
    assert codes(made.warnings) == ["lateral_view"]
    anterior = concepts.cid4010.PosteroAnterior.value
    assert radiograph(ViewPosition="", ViewCodeSequence=code_item(anterior)).view_position == "PA"


def test_the_view_codes_are_those_of_cid_4010() -> None:
    known = {getattr(concepts.cid4010, name).value for name in concepts.cid4010.dir()}
    assert {code for code in header_warnings.FRONTAL_CODES if code.isdigit()} <= known
    assert {code for code in header_warnings.LATERAL_CODES if code.isdigit()} <= known


def test_rows_that_run_front_to_back_mean_a_lateral_view() -> None:
    assert warned(ViewPosition=None, PatientOrientation=["A", "F"]) == ["lateral_view"]


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("CHEST LATERAL", ["lateral_view"]),
        ("THORAX LAT", ["lateral_view"]),
        ("CHEST PA AND LATERAL", []),
        ("BILATERAL RIBS", []),
        ("LATERAL DECUBITUS", []),
        ("", []),
    ],
)
def test_the_description_gives_the_view_if_nothing_else_does(
    description: str, expected: list[str]
) -> None:
    assert warned(ViewPosition=None, SeriesDescription=description) == expected


def test_a_view_that_is_not_a_code_string_is_ignored() -> None:
    made = files.dataset(ramp())
    files.put(made, "ViewPosition", "Jane Doe <script>", "LO")
    assert reader.read(files.write(made, ramp().tobytes())).view_position is None


@pytest.mark.parametrize("part", ["HAND", "ABDOMEN", "SKULL", "KNEE"])
def test_another_body_part_gives_a_warning(part: str) -> None:
    assert warned(BodyPartExamined=part) == ["body_part"]


@pytest.mark.parametrize("part", ["CHEST", "THORAX", "LUNG", "RIBS", "CHESTABDOMEN", "", None])
def test_the_chest_or_no_stated_body_part_gives_no_warning(part: str | None) -> None:
    assert warned(BodyPartExamined=part) == []


def test_the_anatomic_region_counts_as_a_body_part() -> None:
    chest = code_item(concepts.SCT.Chest.value)
    hand = code_item(concepts.SCT.Hand.value)
    assert warned(BodyPartExamined=None, AnatomicRegionSequence=chest) == []
    assert warned(BodyPartExamined=None, AnatomicRegionSequence=hand) == ["body_part"]
    assert warned(BodyPartExamined=None, AnatomicRegionSequence=Sequence([item()])) == []


@pytest.mark.parametrize(
    "attributes",
    [
        {"PatientSpeciesDescription": "Canis lupus familiaris"},
        {"PatientSpeciesCodeSequence": code_item(concepts.cid7454.CanisLupusFamiliaris.value)},
        {"PatientBreedDescription": "Beagle"},
        {"PatientBreedCodeSequence": code_item("132524000")},
        {"ProtocolName": "FELINE THORAX"},
        {"AcquisitionDeviceProcessingDescription": "CANINE VD THORAX"},
        {"InstitutionName": "Veterinary Clinic"},
    ],
)
def test_a_veterinary_object_gives_a_warning(attributes: dict[str, Any]) -> None:
    assert warned(**attributes) == ["not_human"]


@pytest.mark.parametrize(
    "attributes",
    [
        {"PatientSpeciesDescription": "Homo sapiens"},
        {"PatientSpeciesCodeSequence": code_item(concepts.cid7454.HomoSapiens.value)},
        {"InstitutionName": "Veterans Hospital"},
        {"PatientBreedDescription": ""},
    ],
)
def test_a_human_gives_no_warning(attributes: dict[str, Any]) -> None:
    assert warned(**attributes) == []


@pytest.mark.parametrize(
    "attributes",
    [
        {"PresentationIntentType": "FOR PROCESSING"},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1"},
    ],
)
def test_raw_detector_data_give_a_warning(attributes: dict[str, str]) -> None:
    assert warned(**attributes) == ["for_processing"]


@pytest.mark.parametrize("uid", ["1.2.03", "1..2", "abc", "3.1", "1." + "2" * 70, "1.2\n3"])
def test_a_malformed_uid_is_ignored_with_a_warning(uid: str) -> None:
    made = files.dataset(ramp())
    files.put(made, "SOPInstanceUID", uid, "LO")
    made_radiograph = reader.read(files.write(made, ramp().tobytes()))
    assert made_radiograph.sop_instance_uid is None
    assert codes(made_radiograph.warnings) == ["uid_malformed"]


def test_several_warnings_are_given_in_order_of_importance() -> None:
    assert warned(BodyPartExamined="HAND", ViewPosition="LL", PixelSpacing=[1, 2]) == [
        "body_part",
        "lateral_view",
        "anisotropic_pixels",
    ]
