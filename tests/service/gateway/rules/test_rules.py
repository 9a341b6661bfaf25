"""Rules: which instances are taken, by which rule, and the status of a refusal."""

from pathlib import Path
from typing import Any

import pytest

from radiograph.limits import Limits
from service.dicom_results.kinds import MANUFACTURER
from service.gateway.configuration import Configuration
from service.gateway.errors import NotTaken
from service.gateway.rules.instance import read_instance
from service.gateway.rules.rules import choose, suppressing
from tests.builders.gateway import running
from tests.builders.gateway.radiographs import radiograph

CT = "1.2.840.10008.5.1.4.1.1.2"


def ruled(*rules: dict[str, Any], **changes: Any) -> Configuration:
    named = [{"name": f"rule-{n}", "peers": ["archive"]} | rule for n, rule in enumerate(rules)]
    return running.configuration(
        Path("/nowhere"), "http://127.0.0.1:1", 104, rules=named, **changes
    )


def chosen(configuration: Configuration, caller: str | None = "CR1", **attributes: Any) -> str:
    instance = read_instance(radiograph(**attributes), Limits())
    return choose(configuration, instance, caller).name


def test_the_first_rule_that_matches_is_chosen() -> None:
    rules = ruled({"calling_ae_titles": ["CR1"]}, {"views": ["PA", ""]}, {})
    assert chosen(rules) == "rule-0"
    assert chosen(rules, caller="CR2") == "rule-1"
    assert chosen(rules, caller=None, ViewPosition=None) == "rule-1"
    assert chosen(rules, caller=None, ViewPosition="AP") == "rule-2"


@pytest.mark.parametrize(
    ("attributes", "reason", "status"),
    [
        ({"SOPClassUID": CT}, "sop_class", 0x0122),
        ({"Modality": "MG"}, "modality", 0xC101),
        ({"ViewPosition": "AP"}, "view", 0xC102),
        ({"BodyPartExamined": "KNEE"}, "body_part", 0xC103),
        ({"Manufacturer": MANUFACTURER}, "own_result", 0xC104),
        ({"caller": "OTHER"}, "caller", 0x0124),
    ],
)
def test_a_refusal_says_what_did_not_match(
    attributes: dict[str, str], reason: str, status: int
) -> None:
    rules = ruled(
        {"views": ["PA"], "body_parts": ["CHEST"], "calling_ae_titles": ["CR1"]},
        {"modalities": ["XA"], "calling_ae_titles": ["NOBODY"]},
    )
    with pytest.raises(NotTaken) as refusal:
        chosen(rules, **attributes)
    assert (refusal.value.reason, refusal.value.status) == (reason, status)


def test_codes_suppress_by_name_or_by_their_beginning() -> None:
    rules = ruled({}, suppress=["lateral_view", "orientation_*"])
    assert suppressing(rules, ["view_unusual", "orientation_turned"]) == "orientation_turned"
    assert suppressing(rules, ["lateral_view_"]) is None
    assert suppressing(rules, []) is None


def test_a_lateral_view_has_a_warning_that_suppresses() -> None:
    instance = read_instance(radiograph(ViewPosition="LL"), Limits())
    assert suppressing(ruled({}), instance.warnings) == "lateral_view"
