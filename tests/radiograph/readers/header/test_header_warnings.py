from typing import Any

import pytest
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes as concepts

from radiograph.image import Radiograph
from radiograph.readers import dicom as reader
from tests.builders.files import dicom_files as files
from tests.builders.files.dicom_files import codes, item, ramp


def radiograph(**attributes: Any) -> Radiograph:
    made = files.dataset(ramp(), **attributes)
    return reader.read(files.write(made, ramp().tobytes()))


def warned(**attributes: Any) -> list[str]:
    return codes(radiograph(**attributes).warnings)


def code_item(value: str, meaning: str = "x") -> Sequence:
    return Sequence([item(CodeValue=value, CodingSchemeDesignator="SCT", CodeMeaning=meaning)])


@pytest.mark.parametrize("part", ["HAND", "ABDOMEN", "SKULL", "KNEE", "LOWER TRUNK"])
def test_another_body_part_gives_a_warning(part: str) -> None:
    assert warned(BodyPartExamined=part) == ["body_part"]


@pytest.mark.parametrize(
    "part",
    [
        *("CHEST", "THORAX", "LUNG", "RIBS", "CHESTABDOMEN", "CXR", "CXR PA", "TORAX", "TORACE"),
        *("THX", "BORSTKAS", "KLATKA PIERSIOWA", "HRUDNIK", "GOGUS", "GRUDNAYA KLETKA"),
        *("TH", "THOR", "CHST", "TRUNK", "UPPER TRUNK", "TORSO"),
    ],
)
def test_the_chest_gives_no_warning(part: str) -> None:
    assert warned(BodyPartExamined=part) == []


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("part", ["TÓRAX", "tórax", "Tòrax", "TORÁX PA"])
def test_an_accented_chest_gives_no_warning(part: str, encoding: str) -> None:
    made = files.dataset(ramp(), BodyPartExamined="X" * len(part.encode(encoding)))
    file = files.write(made, ramp().tobytes())
    named = file.replace(b"X" * len(part.encode(encoding)), part.encode(encoding), 1)
    assert named != file
    assert reader.read(named).warnings == ()


@pytest.mark.parametrize(
    "part",
    [
        *("", None, "UNKNOWN", "unspecified", "N/A", "OTHER", "-", "?"),
        *("UNDEF", "OT", "ALL", "BODY", "WHOLEBODY", "BABYGRAM", "X-RAY"),
    ],
)
def test_no_stated_body_part_gives_no_warning(part: str | None) -> None:
    assert warned(BodyPartExamined=part) == []


def test_a_body_part_in_another_alphabet_is_no_evidence() -> None:
    made = files.dataset(ramp(), SpecificCharacterSet="ISO_IR 192", BodyPartExamined="胸部")
    files.put(made, "BodyPartExamined", "胸部", "LO")
    assert reader.read(files.write(made, ramp().tobytes())).warnings == ()


def test_the_anatomic_region_counts_as_a_body_part() -> None:
    chest = code_item(concepts.SCT.Chest.value)
    hand = code_item(concepts.SCT.Hand.value)
    assert warned(BodyPartExamined=None, AnatomicRegionSequence=chest) == []
    assert warned(BodyPartExamined=None, AnatomicRegionSequence=hand) == ["body_part"]
    for name in ("Sternum", "Clavicle", "Rib", "Lung", "Heart"):
        region = code_item(getattr(concepts.SCT, name).value)
        assert warned(BodyPartExamined=None, AnatomicRegionSequence=region) == []
    assert warned(BodyPartExamined=None, AnatomicRegionSequence=Sequence([item()])) == []


@pytest.mark.parametrize(
    ("meaning", "expected"), [("Thorax", []), ("T\u00f3rax", []), ("Hand", ["body_part"])]
)
def test_a_region_with_a_private_code_is_read_by_its_meaning(
    meaning: str, expected: list[str]
) -> None:
    region = code_item("RID1243", meaning)
    made = {"SpecificCharacterSet": "ISO_IR 192", "AnatomicRegionSequence": region}
    assert warned(BodyPartExamined=None, **made) == expected


def test_a_human_by_another_code_gives_no_warning() -> None:
    assert warned(PatientSpeciesCodeSequence=code_item("9606", "Homo sapiens")) == []


@pytest.mark.parametrize("species", ["Human", "Homo sapiens", "HUMAN BEING", "UNKNOWN", "N/A", ""])
def test_a_human_or_unstated_species_gives_no_warning(species: str) -> None:
    assert warned(PatientSpeciesDescription=species) == []


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
    several = {"BodyPartExamined": "HAND", "ViewPosition": "LL", "PixelSpacing": [1, 2]}
    assert warned(PatientOrientation=None, **several) == [
        "body_part",
        "lateral_view",
        "anisotropic_pixels",
    ]
