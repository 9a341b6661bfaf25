"""Findings of the data sets and their codes."""

from radiograph.terminology import code_of
from training.data.rows.labels import COVIDX_FINDINGS, NIH_FINDINGS, UNCERTAIN_AS_PRESENT
from training.data.rows.masks import STRUCTURES


def test_only_three_labels_have_no_code() -> None:
    names = (*NIH_FINDINGS, *COVIDX_FINDINGS.values(), *UNCERTAIN_AS_PRESENT, *STRUCTURES)
    without = {name for name in names if code_of(name) is None}
    assert without == {"Hernia", "Pleural_Thickening", "Pneumonia other than COVID-19"}
