"""The descriptions that come with the package."""

import pytest

from radiograph.terminology.codes import code_of
from training.config.description import Description
from training.data.catalog import READERS
from training.data.tables.described import SHIPPED, read_description

DESCRIPTIONS = {path.stem: read_description(path) for path in SHIPPED.glob("*.yaml")}
WITHOUT_A_CODE = {
    *("Hernia", "Pleural_Thickening", "Pneumonia other than COVID-19"),
    *("Out of domain", "Tube or line"),
}


def _names(description: Description) -> set[str]:
    sections = (description.findings, description.masks, description.boxes)
    return {name for section in sections for name in section or {}}


def test_every_public_data_set_has_a_description() -> None:
    assert READERS.keys() - {"pairs"} <= DESCRIPTIONS.keys()


def test_only_labels_that_no_scheme_has_are_without_a_code() -> None:
    found = {
        name
        for description in DESCRIPTIONS.values()
        for name in _names(description)
        if code_of(name) is None and name not in description.codes
    }
    assert found == WITHOUT_A_CODE


@pytest.mark.parametrize("name", ["nih_subset", "nih_boxes", "cxr14"])
def test_nih_sets_have_the_fourteen_findings(name: str) -> None:
    findings = DESCRIPTIONS[name].findings or {}
    assert len(findings.keys() - {"No finding", "Lung opacity", "Out of domain"}) == 14


def test_only_images_out_of_the_domain_are_labelled_so() -> None:
    sets = {name for name, each in DESCRIPTIONS.items() if "Out of domain" in (each.findings or {})}
    assert sets == {
        *("kermany_224", "nih_subset", "nih_boxes", "covid_cxr"),
        *("wingspan_ctr", "vqa_rad_chest", "ood"),
    }
    spelled = {name for name in sets if (DESCRIPTIONS[name].findings or {})["Out of domain"].labels}
    assert not spelled  # the own name in `ood`, no label elsewhere
