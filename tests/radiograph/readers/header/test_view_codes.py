"""The table of coded views holds every code of the standard's context group."""

from pydicom.sr._snomed_dict import mapping
from pydicom.sr.codedict import codes

from radiograph.readers.header.view_codes import CODED_VIEWS, VIEW_MODIFIERS

DX_VIEWS = {getattr(codes.cid4010, name).value: name for name in codes.cid4010.dir()}


def test_every_code_of_cid_4010_has_a_view() -> None:
    assert len(DX_VIEWS) == 42
    assert {code for code in CODED_VIEWS if code.isdigit()} == set(DX_VIEWS)


def test_the_older_code_of_a_view_has_the_same_view() -> None:
    for code in DX_VIEWS:
        assert CODED_VIEWS[mapping["SCT"][code]] == CODED_VIEWS[code]
    assert len(CODED_VIEWS) == 2 * len(DX_VIEWS)


def test_views_are_of_the_kind_that_their_name_says() -> None:
    for code, name in DX_VIEWS.items():
        kind = CODED_VIEWS[code].kind
        assert (kind == "oblique") == ("Oblique" in name), name
        assert (kind == "frontal") == (name in ("AnteroPosterior", "PosteroAnterior", "Frontal"))
    lateral = {name for code, name in DX_VIEWS.items() if CODED_VIEWS[code].kind == "lateral"}
    assert lateral == {
        "LeftLateral",
        "RightLateral",
        "LateralProjection",
        "LateralMedial",
        "MedioLateralProjection",
        "Sagittal",
    }


def test_modifiers_are_codes_of_views_or_of_patient_positions() -> None:
    groups = (codes.cid4011, codes.cid20)
    known = {getattr(group, name).value for group in groups for name in group.dir()}
    assert {code for code in VIEW_MODIFIERS if code.isdigit()} <= known
    for code in VIEW_MODIFIERS.keys() & mapping["SCT"].keys():
        assert VIEW_MODIFIERS[mapping["SCT"][code]] == VIEW_MODIFIERS[code]
