"""Every source of the view is heard, and contradictions between them give a warning."""

from typing import Any

import pytest
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes as concepts

from radiograph.image import Radiograph
from radiograph.readers import dicom as reader
from tests.builders.files import dicom_files as files
from tests.builders.files.dicom_files import codes, item, ramp

LATERAL = ["lateral_view"]
UNUSUAL = ["view_unusual"]
CONTRADICTORY = ["lateral_view", "view_contradictory"]
DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")


def radiograph(**attributes: Any) -> Radiograph:
    """A PA radiograph without Patient Orientation, unless the attributes say otherwise."""
    made = files.dataset(ramp(), **({"PatientOrientation": None} | attributes))
    if attributes.get("ViewPosition"):
        files.put(made, "ViewPosition", attributes["ViewPosition"], "LO")
    return reader.read(files.write(made, ramp().tobytes()))


def warned(**attributes: Any) -> list[str]:
    return codes(radiograph(**attributes).warnings)


def code_item(value: str, meaning: str = "x", **attributes: Any) -> Sequence:
    made = item(CodeValue=value, CodingSchemeDesignator="SCT", CodeMeaning=meaning, **attributes)
    return Sequence([made])


@pytest.mark.parametrize(
    "view",
    [
        "LL",
        "RL",
        "LATERAL",
        "LAT",
        "lateral",
        "LT LAT",
        "LATERAL (L)",
        "L-LAT",
        "LLAT",
        "LAT_L",
        "XTABLE LAT",
        "XTL",
        "Lateral 2",
        "PERFIL",
        "LAT.",
    ],
)
def test_a_lateral_view_position_gives_a_warning(view: str) -> None:
    image = radiograph(ViewPosition=view)
    assert codes(image.warnings) == LATERAL
    assert image.laterality == "unknown"


@pytest.mark.parametrize(
    "view",
    [
        "PA",
        "AP",
        "pa",
        "PA ERECT",
        "AP SUPINE",
        "AP_SUPINE",
        "PA-UPRIGHT",
        "P.A.",
        "A/P",
        "PA1",
        "POSTERO-ANTERIOR",
        "FRONTAL",
        "AP DECUBITO SUPINO",
        "FACE DEBOUT",
        "DE FACE",
        "FRENTE",
        "FRONTALE",
        "PA EXP",
    ],
)
def test_a_frontal_view_position_gives_no_warning(view: str) -> None:
    assert warned(ViewPosition=view) == []


@pytest.mark.parametrize(
    "view",
    [
        "LLD",
        "RLD",
        "PA LLD",
        "LATERAL DECUBITUS",
        "LAT DECUB",
        "LAO",
        "RPO",
        "LLO",
        "PA OBLIQUE",
        "LATERAL OBLIQUE",
        "SWIMMER",
        "AP LORDOTIC",
        "AP LLDECUB",
        "AP AXIAL",
        "XYZ",
    ],
)
def test_another_view_position_is_unusual(view: str) -> None:
    assert warned(ViewPosition=view) == UNUSUAL


@pytest.mark.parametrize("view", ["ERECT", "SUPINE PORTABLE", "UNKNOWN", "CHEST", "", None])
def test_a_view_position_that_names_no_view_is_no_evidence(view: str | None) -> None:
    assert warned(ViewPosition=view) == []


@pytest.mark.parametrize("view", ["PA/LAT", "PA LL", ["PA", "LL"]])
def test_a_view_position_with_two_views_contradicts_itself(view: Any) -> None:
    assert warned(ViewPosition=view) == CONTRADICTORY


@pytest.mark.parametrize(
    ("view", "position"),
    [
        ("LATERAL (L)", "LATERAL L"),
        ("P.A.", "PA"),
        ("AP_SUPINE", "AP_SUPINE"),
        ("pa", "PA"),
        ("Postero-Anterior", "POSTEROANTERIOR"),
        ("ANTERO.POSTERIOR", "ANTEROPOSTERIOR"),
    ],
)
def test_the_view_position_is_returned_as_a_code_string(view: str, position: str) -> None:
    assert radiograph(ViewPosition=view).view_position == position


@pytest.mark.parametrize("view", ["Jane Doe <script>", "PA (Jane Doe)", "PA " * 2000])
def test_free_text_in_the_view_position_is_not_repeated(view: str) -> None:
    assert radiograph(ViewPosition=view).view_position is None


def test_the_view_is_taken_from_its_code_where_the_position_is_missing() -> None:
    left = code_item(concepts.cid4010.LeftLateral.value)
    assert radiograph(ViewPosition=None, ViewCodeSequence=left).view_position == "LL"
    assert warned(ViewPosition=None, ViewCodeSequence=left) == LATERAL
    posterior = code_item(concepts.cid4010.PosteroAnterior.value)
    assert radiograph(ViewPosition="", ViewCodeSequence=posterior).view_position == "PA"
    assert warned(ViewPosition="", ViewCodeSequence=posterior) == []


@pytest.mark.parametrize("name", concepts.cid4010.dir())
@pytest.mark.parametrize("position", ["PA", None])
def test_every_code_of_a_view_is_heard(name: str, position: str | None) -> None:
    code = code_item(getattr(concepts.cid4010, name).value)
    lateral = CONTRADICTORY if position else LATERAL
    expected = {
        **{key: [] for key in ("AnteroPosterior", "PosteroAnterior", "Frontal")},
        **dict.fromkeys(("LeftLateral", "RightLateral", "LateralProjection"), lateral),
        **dict.fromkeys(("LateralMedial", "MedioLateralProjection", "Sagittal"), lateral),
    }
    found = warned(ViewPosition=position, ViewCodeSequence=code)
    assert found == expected.get(name, UNUSUAL)


@pytest.mark.parametrize(
    ("meaning", "expected"), [("Left Lateral", CONTRADICTORY), ("Oblique", UNUSUAL), ("PA", [])]
)
def test_a_view_with_a_private_code_is_read_by_its_meaning(
    meaning: str, expected: list[str]
) -> None:
    assert warned(ViewCodeSequence=code_item("XX1", meaning)) == expected


@pytest.mark.parametrize(
    "modifier",
    [
        code_item(concepts.cid4011.Crosstable.value),
        code_item(concepts.cid4011.Cephalad.value),
        code_item("XX1", "Left lateral decubitus"),
    ],
)
def test_the_modifier_of_a_view_is_heard(modifier: Sequence) -> None:
    view = code_item(concepts.cid4010.AnteroPosterior.value, ViewModifierCodeSequence=modifier)
    assert warned(ViewPosition="AP", ViewCodeSequence=view) == UNUSUAL


def test_a_patient_who_lies_on_a_side_is_unusual() -> None:
    modifier = code_item(concepts.cid20.LeftLateralDecubitus.value)
    lying = code_item("102538003", PatientOrientationModifierCodeSequence=modifier)
    assert warned(PatientOrientationCodeSequence=lying) == UNUSUAL
    supine = code_item(concepts.cid20.Supine.value)
    lying = code_item("102538003", PatientOrientationModifierCodeSequence=supine)
    assert warned(PatientOrientationCodeSequence=lying) == []


@pytest.mark.parametrize("directions", [["A", "F"], ["P", "F"], ["F", "A"], ["AL", "F"]])
def test_rows_or_columns_between_front_and_back_mean_a_lateral_view(directions: list[str]) -> None:
    assert warned(ViewPosition=None, PatientOrientation=directions) == LATERAL


@pytest.mark.parametrize("keyword", DESCRIPTIONS)
@pytest.mark.parametrize(
    "description",
    [
        "CHEST_LATERAL",
        "LLAT",
        "CHEST LATERAL",
        "THORAX LAT",
        "Thorax seitlich",
        "CHEST L-LAT",
        "Tórax perfil",
        "Thorax seitl.",
        "RX TORACE L.L.",
        "ChestLateral",
        "CHESTLAT 1",
        "THORAX LATERAAL",
        "torace latero-laterale",
        "profilo",
        "Toraks yan",
        "Klatka piersiowa boczne",
        "sidebilde",
    ],
)
def test_a_lateral_series_is_heard_beside_the_view_position(keyword: str, description: str) -> None:
    assert warned(**{"ViewPosition": None, keyword: description}) == LATERAL
    assert warned(**{"ViewPosition": "PA", keyword: description}) == CONTRADICTORY


@pytest.mark.parametrize("keyword", DESCRIPTIONS)
@pytest.mark.parametrize(
    "description",
    [
        *("LATERAL DECUBITUS", "CHEST AP LAT-DECUB", "OBLIQUE"),
        *("Chest, Lateral decubitus", "CHEST, LAT OBL"),
    ],
)
def test_a_decubitus_or_oblique_series_is_unusual(keyword: str, description: str) -> None:
    assert warned(**{keyword: description}) == UNUSUAL


@pytest.mark.parametrize("keyword", [*DESCRIPTIONS, "StudyDescription"])
@pytest.mark.parametrize(
    "description",
    [
        "CHEST PA AND LATERAL",
        "XR CHEST PA/LAT",
        "TORAX PA Y LATERAL",
        "CHEST 2 VIEWS (AP, LAT)",
        "CHEST PA LAT",
        "LATERAL AND OBLIQUE",
        "PA, DECUBITUS",
        "BILATERAL RIBS",
        "BI-LATERAL",
        "",
        "FLAT PANEL",
        "LATEX ALLERGY",
        "PLATE",
        "LL",
        "CHEST AP LL",
        "CHESTPA",
        "YAN",
    ],
)
def test_a_description_of_several_views_or_none_is_no_evidence(
    keyword: str, description: str
) -> None:
    assert warned(**{"ViewPosition": None, keyword: description}) == []
    assert warned(**{"ViewPosition": "PA", keyword: description}) == []


@pytest.mark.parametrize("keyword", ["StudyDescription", "RequestedProcedureDescription"])
def test_a_lateral_study_is_heard_only_where_nothing_else_names_a_view(keyword: str) -> None:
    study = {keyword: "CHEST LATERAL"}
    assert warned(ViewPosition=None, **study) == LATERAL
    assert warned(ViewPosition="PA", **study) == []
    assert warned(ViewPosition=None, SeriesDescription="CHEST PA", **study) == []
    assert warned(ViewPosition=None, **{keyword: "LATERAL DECUBITUS"}) == []


LATERAL_CHEST, FRONTAL_CHEST = "\u80f8\u90e8\u5074\u9762", "\u80f8\u90e8\u6b63\u9762"
RUSSIAN_LATERAL, RUSSIAN_FRONTAL = (
    "\u0431\u043e\u043a\u043e\u0432\u0430\u044f",
    "\u043f\u0440\u044f\u043c\u0430\u044f",
)


@pytest.mark.parametrize(
    ("character_set", "codec", "lateral", "frontal"),
    [
        ("ISO_IR 192", "utf-8", LATERAL_CHEST, FRONTAL_CHEST),
        ("GB18030", "gb18030", LATERAL_CHEST, FRONTAL_CHEST),
        (["", "ISO 2022 IR 87"], "iso2022_jp", LATERAL_CHEST, FRONTAL_CHEST),
        ("ISO_IR 144", "iso8859_5", RUSSIAN_LATERAL, RUSSIAN_FRONTAL),
    ],
)
def test_a_series_is_heard_in_its_character_set(
    character_set: Any, codec: str, lateral: str, frontal: str
) -> None:
    def warned_of(text: str) -> list[str]:
        made = files.dataset(ramp(), SpecificCharacterSet=character_set, PatientOrientation=None)
        files.put(made, "SeriesDescription", text.encode(codec), "UN")
        return codes(reader.read(files.write(made, ramp().tobytes())).warnings)

    assert warned_of(lateral) == CONTRADICTORY
    assert warned_of(frontal) == []


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("\u80f8\u90e8\u6b63\u4fa7\u4f4d", []),  # chest, frontal and lateral
        ("\u80f8\u90e8\u6b63\u4f4d\u3001\u4fa7\u4f4d", []),
        ("\u80f8\u90e8\u6b63\u9762\u30fb\u5074\u9762", []),
        (f"{RUSSIAN_FRONTAL} \u0438 {RUSSIAN_LATERAL}", []),
        ("\u80f8\u90e8\u540e\u524d\u4f4d", []),  # chest, posteroanterior
        ("\u80f8\u90e8\u4fa7\u5367\u4f4d", UNUSUAL),  # chest, lateral decubitus
        ("\u80f8\u90e8\u659c\u4f4d", UNUSUAL),  # chest, oblique
        ("\u80f8\u90e8\u4fa7\u4f4d", CONTRADICTORY),  # chest, lateral
        ("\ud749\ubd80 \uce21\uba74", CONTRADICTORY),  # chest, lateral in Korean
        ("\u03a0\u03bb\u03ac\u03b3\u03b9\u03b1", CONTRADICTORY),  # lateral in Greek
    ],
)
def test_other_scripts_list_views_too(description: str, expected: list[str]) -> None:
    made = {"SpecificCharacterSet": "ISO_IR 192", "SeriesDescription": description}
    assert warned(**made) == expected


def test_bytes_of_another_alphabet_are_no_latin_letters() -> None:
    for text in (b"\x1b$B!!!LAT!!\x1b(B", b"\x1b$B!!LAT!!\x1b(B"):  # the second is broken
        made = files.dataset(ramp(), SpecificCharacterSet=["", "ISO 2022 IR 87"])
        files.put(made, "SeriesDescription", text, "UN")
        assert codes(reader.read(files.write(made, ramp().tobytes())).warnings) == []


def test_a_lateral_view_of_a_frontal_series_is_contradictory() -> None:
    assert warned(ViewPosition="LL", SeriesDescription="CHEST PA") == CONTRADICTORY


def test_a_hostile_description_is_read_in_bounds() -> None:
    assert warned(SeriesDescription="L A " * 16_000) == []
    assert warned(SeriesDescription="LAT" * 20_000) == []
    many = Sequence([item(CodeValue="399182000", CodeMeaning="x") for _ in range(1000)])
    assert warned(ViewCodeSequence=many) == UNUSUAL


def test_a_compound_word_is_heard_against_another_source() -> None:
    assert warned(ViewPosition="POSTERO-ANTERIOR") == []
    assert warned(ViewPosition="Postero-Anterior", SeriesDescription="LATERAL") == CONTRADICTORY
    assert warned(ViewPosition="POSTERO-LATERAL") == LATERAL
