"""A subtype of a finding is positive only where that finding is; probabilities stay."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiograph.manifest import HeadSpec, Label, Task
from radiograph.postprocess.activations import sigmoid
from radiograph.postprocess.heads import Finding, classify, positive
from radiograph.postprocess.uncertainty import uncertainties

WHOLE = Label(name="Pneumonia", threshold=0.6)
SUBTYPE = Label(name="Bacterial pneumonia", threshold=0.3, subtype_of="Pneumonia")
OTHER = Label(name="Effusion", threshold=0.5)


def head(*labels: Label) -> HeadSpec:
    return HeadSpec(kind=Task.CLASSIFY, file="h.onnx", inputs=("x",), labels=labels)


def answered(spec: HeadSpec, *probabilities: float) -> dict[str, Finding]:
    logits = np.log(np.array(probabilities) / (1 - np.array(probabilities))).astype(np.float32)
    return {finding.name: finding for finding in classify(spec, {"logits": logits})}


@pytest.mark.parametrize("order", [(WHOLE, SUBTYPE), (SUBTYPE, WHOLE)], ids=["after", "before"])
@pytest.mark.parametrize(
    ("whole", "subtype", "expected"),
    [
        (0.7, 0.4, True),
        (0.5, 0.4, False),  # above its own threshold, but there is no pneumonia
        (0.5, 0.9, False),
        (0.7, 0.2, False),
        (0.5, 0.2, False),
    ],
)
def test_a_subtype_needs_both_thresholds(
    order: tuple[Label, ...], whole: float, subtype: float, expected: bool
) -> None:
    values = {"Pneumonia": whole, "Bacterial pneumonia": subtype}
    found = answered(head(*order), *(values[label.name] for label in order))
    assert found["Bacterial pneumonia"].positive is expected
    assert found["Bacterial pneumonia"].probability == pytest.approx(subtype, abs=1e-6)
    assert found["Bacterial pneumonia"].subtype_of == "Pneumonia"
    assert found["Pneumonia"].positive is (whole >= 0.6)
    assert found["Pneumonia"].subtype_of is None


def test_a_finding_that_is_withheld_rules_out_no_subtype() -> None:
    withheld = WHOLE.model_copy(update={"threshold": 1.0})
    found = answered(head(withheld, SUBTYPE), 0.01, 0.4)
    assert list(found) == ["Bacterial pneumonia"]
    assert found["Bacterial pneumonia"].positive


def test_a_subtype_that_is_withheld_is_not_answered() -> None:
    withheld = SUBTYPE.model_copy(update={"threshold": 1.0})
    assert list(answered(head(WHOLE, withheld), 0.9, 0.9)) == ["Pneumonia"]


@given(st.lists(st.floats(-20, 20), min_size=3, max_size=3))
def test_no_answer_contradicts_itself_and_other_findings_are_as_without_subtypes(
    logits: list[float],
) -> None:
    probabilities = sigmoid(np.array(logits), 1.0)
    whole, subtype, other = positive(head(WHOLE, SUBTYPE, OTHER), probabilities)
    assert whole or not subtype
    free = SUBTYPE.model_copy(update={"subtype_of": None})
    alone = positive(head(WHOLE, free, OTHER), probabilities)
    assert [whole, other] == [alone[0], alone[2]]
    assert subtype == (whole and alone[1])


def test_many_radiographs_are_decided_as_each_alone() -> None:
    spec = head(SUBTYPE, OTHER, WHOLE)
    many = np.random.default_rng(0).random((5, 7, 3))
    together = positive(spec, many)
    assert together.shape == many.shape
    assert (together == np.array([[positive(spec, one) for one in row] for row in many])).all()
    assert (together != (many >= [0.3, 0.5, 0.6])).any()


def test_a_view_that_loses_the_finding_does_not_agree_on_its_subtype() -> None:
    spec = head(WHOLE, SUBTYPE)
    image, other = (tuple(answered(spec, whole, 0.4).values()) for whole in (0.7, 0.5))
    agreement = uncertainties(image, [other, image])[1]
    assert agreement.agreement == 0.5
    assert agreement.low == pytest.approx(0.4)
    assert agreement.high == pytest.approx(0.4)
