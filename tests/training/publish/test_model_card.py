"""A card says what its version is, and nothing of another one."""

from collections.abc import Mapping

from radiograph.manifest import (
    DataUse,
    HeadSpec,
    Label,
    MaskCleaning,
    Metric,
    Provenance,
    Task,
)
from training.publish.model_card import model_card

CONFIGURATION = """
model:
  encoder: {name: resnet18, weights: null}
  text: {name: some/bert}
"""


def _head(kind: Task, *labels: Label, method: str | None = None) -> HeadSpec:
    return HeadSpec(kind=kind, file="h.onnx", inputs=("x",), labels=labels, method=method)


def _metric(label: str, head: str) -> Metric:
    return Metric(
        data="kermany_224", split="test", task=Task.CLASSIFY, head=head, label=label,
        metric="auroc", value=0.8, low=0.7, high=0.9, n=12,
    )  # fmt: skip


def _card(heads: Mapping[str, HeadSpec], *metrics: Metric, note: str = "") -> str:
    provenance = Provenance(
        commit="0" * 40,
        configuration={"1_finetune.yaml": CONFIGURATION},
        data=(DataUse(name="a set", licence="CC0-1.0", rows={"train": 3}, note=note),),
        metrics=metrics,
    )
    return model_card("tiny", "Tests.", "Apache-2.0", heads, provenance)


def test_a_label_begins_no_cell_link_or_tag() -> None:
    odd = "a|b [c](d) <e> `f`"
    card = _card({"findings": _head(Task.CLASSIFY, Label(name=odd))}, _metric(odd, "findings"))
    (row,) = (line for line in card.splitlines() if line.startswith("| kermany_224"))
    assert r"| a\|b \[c](d) \<e> \`f\` |" in row
    assert len(row.replace(r"\|", "").split("|")) == 9  # seven cells


def test_two_heads_of_a_kind_are_told_apart() -> None:
    heads = {name: _head(Task.CLASSIFY, Label(name=name)) for name in ("findings", "more")}
    card = _card(heads, *(_metric("all findings", name) for name in heads))
    for name in heads:
        assert (
            f"| kermany_224 | {name} | all findings | auroc | 0.800 | 0.700 to 0.900 | 12 |" in card
        )


def test_a_card_says_nothing_of_heads_that_its_version_has_not() -> None:
    card = _card({"findings": _head(Task.CLASSIFY, Label(name="Pneumonia"))})
    assert "Zero-shot" not in card
    assert "phrases" not in card
    assert "`resnet18` (random)" in card
    grounding = _card({"similarity": _head(Task.GROUND, method="zero_shot")})
    assert "Zero-shot grounding" in grounding
    assert "finding phrases" not in grounding


def test_what_is_withheld_is_named() -> None:
    poor = Label(name="Mass", threshold=1.0)
    card = _card({"boxes": _head(Task.DETECT, poor, Label(name="Nodule", threshold=0.4))})
    assert "withheld (threshold 1): Mass (`boxes`)." in card


def test_the_cleaning_of_masks_is_described() -> None:
    lung = Label(name="Left lung", clean=MaskCleaning(largest=1, fill_holes=True))
    opacity = Label(name="Lung opacity", clean=MaskCleaning(min_share=0.05))
    card = _card({"anatomy": _head(Task.SEGMENT, lung, opacity, Label(name="Heart"))})
    assert (
        "Left lung: holes are filled, number of components at most 1. "
        "Lung opacity: components below 0.05 of the largest are dropped.\n"
    ) in card
    assert "Heart:" not in card


def test_a_card_says_which_findings_are_subtypes() -> None:
    labels = Label(name="Pneumonia"), Label(name="Viral pneumonia", subtype_of="Pneumonia")
    card = _card({"findings": _head(Task.CLASSIFY, *labels)})
    assert " Viral pneumonia is answered as present only where Pneumonia is.\n" in card
    assert "only where" not in _card({"findings": _head(Task.CLASSIFY, labels[0])})
