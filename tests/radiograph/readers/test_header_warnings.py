from typing import Any

import pytest
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes as concepts

from radiograph.image import Radiograph
from radiograph.readers import dicom as reader
from radiograph.readers import header_warnings
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
def test_a_lateral_view_is_a_warning(view: str) -> None:
    assert warned(ViewPosition=view) == ["lateral_view"]


@pytest.mark.parametrize("view", ["PA", "AP", "pa", "PA ERECT", "AP SUPINE"])
def test_a_frontal_view_is_none(view: str) -> None:
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
def test_the_description_tells_the_view_where_nothing_else_does(
    description: str, expected: list[str]
) -> None:
    assert warned(ViewPosition=None, SeriesDescription=description) == expected


def test_a_view_that_is_no_code_string_is_left_out() -> None:
    made = files.dataset(ramp())
    files.put(made, "ViewPosition", "Jane Doe <script>", "LO")
    assert reader.read(files.write(made, ramp().tobytes())).view_position is None


@pytest.mark.parametrize("part", ["HAND", "ABDOMEN", "SKULL", "KNEE"])
def test_another_body_part_is_a_warning(part: str) -> None:
    assert warned(BodyPartExamined=part) == ["body_part"]


@pytest.mark.parametrize("part", ["CHEST", "THORAX", "LUNG", "RIBS", "CHESTABDOMEN", "", None])
def test_the_chest_and_no_stated_body_part_are_none(part: str | None) -> None:
    assert warned(BodyPartExamined=part) == []


def test_the_anatomic_region_is_a_body_part_too() -> None:
    chest = code_item(concepts.SCT.Chest.value)
    hand = code_item(concepts.SCT.Hand.value)
    assert warned(BodyPartExamined=None, AnatomicRegionSequence=chest) == []
    assert warned(BodyPartExamined=None, AnatomicRegionSequence=hand) == ["body_part"]
    assert warned(BodyPartExamined=None, AnatomicRegionSequence=Sequence([item()])) == []


def test_a_mirrored_image_is_a_warning_and_is_not_flipped() -> None:
    mirrored = radiograph(PatientOrientation=["R", "F"])
    assert codes(mirrored.warnings) == ["orientation_mirrored"]
    assert (mirrored.pixels == radiograph().pixels).all()


@pytest.mark.parametrize("orientation", [["F", "R"], ["H", "L"], ["L", "H"]])
def test_a_rotated_image_is_a_warning(orientation: list[str]) -> None:
    assert warned(PatientOrientation=orientation) == ["orientation_unusual"]


@pytest.mark.parametrize("orientation", [["L", "F"], ["LP", "FP"], "", None, ["L"]])
def test_the_usual_and_no_stated_orientation_are_none(orientation: Any) -> None:
    assert warned(PatientOrientation=orientation) == []


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
def test_a_veterinary_object_is_a_warning(attributes: dict[str, Any]) -> None:
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
def test_a_human_is_none(attributes: dict[str, Any]) -> None:
    assert warned(**attributes) == []


@pytest.mark.parametrize(
    "attributes",
    [
        {"PresentationIntentType": "FOR PROCESSING"},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1"},
    ],
)
def test_raw_detector_data_are_a_warning(attributes: dict[str, str]) -> None:
    assert warned(**attributes) == ["for_processing"]


@pytest.mark.parametrize("uid", ["1.2.03", "1..2", "abc", "3.1", "1." + "2" * 70, "1.2\n3"])
def test_a_uid_that_is_not_well_formed_is_left_out_with_a_warning(uid: str) -> None:
    made = files.dataset(ramp())
    files.put(made, "SOPInstanceUID", uid, "LO")
    made_radiograph = reader.read(files.write(made, ramp().tobytes()))
    assert made_radiograph.sop_instance_uid is None
    assert codes(made_radiograph.warnings) == ["uid_malformed"]


def test_pixel_spacing_goes_before_imager_pixel_spacing() -> None:
    made = radiograph(PixelSpacing=[0.2, 0.2], ImagerPixelSpacing=[0.14, 0.14])
    assert made.spacing_mm == (0.2, 0.2)
    assert made.warnings == ()


@pytest.mark.parametrize("unknown", [[0, 0], [-1, -1], [0.2], "", None])
def test_imager_pixel_spacing_counts_where_pixel_spacing_is_unknown(unknown: Any) -> None:
    made = radiograph(PixelSpacing=unknown, ImagerPixelSpacing=[0.14, 0.14])
    assert made.spacing_mm == (0.14, 0.14)
    assert codes(made.warnings) == ["spacing_at_detector"]


def test_the_estimated_magnification_is_told_and_not_applied() -> None:
    made = radiograph(ImagerPixelSpacing=[0.14, 0.14], EstimatedRadiographicMagnificationFactor=1.2)
    assert made.spacing_mm == (0.14, 0.14)
    assert "1.20" in made.warnings[0]


def test_nominal_scanned_pixel_spacing_comes_last() -> None:
    made = radiograph(NominalScannedPixelSpacing=[0.175, 0.175])
    assert made.spacing_mm == (0.175, 0.175)
    assert made.warnings == ()


@pytest.mark.parametrize("value", ["1e-30", "1e30", "inf", "nan", "wide"])
def test_an_absurd_spacing_is_unknown(value: str) -> None:
    made = files.dataset(ramp())
    files.put(made, "PixelSpacing", [value, value], "LO")
    assert reader.read(files.write(made, ramp().tobytes())).spacing_mm is None


@pytest.mark.parametrize("attributes", [{"PixelSpacing": [0.2, 0.1]}, {"PixelAspectRatio": [2, 1]}])
def test_pixels_that_are_not_square_are_a_warning(attributes: dict[str, Any]) -> None:
    assert warned(**attributes) == ["anisotropic_pixels"]


def test_spacing_is_between_rows_first() -> None:
    assert radiograph(PixelSpacing=[0.3, 0.1]).spacing_mm == (0.3, 0.1)


def test_an_unclear_radiograph_has_every_warning_it_earns() -> None:
    assert warned(BodyPartExamined="HAND", ViewPosition="LL", PixelSpacing=[1, 2]) == [
        "body_part",
        "lateral_view",
        "anisotropic_pixels",
    ]
