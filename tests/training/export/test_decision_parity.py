"""Two runtimes make the same decisions, or the differences are described."""

import numpy as np
import pytest
from numpy.typing import NDArray

from radiograph.manifest import HeadSpec, Label, MaskCleaning
from training.export.decision_parity import different_decisions

SIZE_PX = 32
Answers = dict[str, NDArray[np.float32]]


def head(kind: str, **more: object) -> dict[str, HeadSpec]:
    labels = () if kind == "ground" else (Label(name="a"), Label(name="b", threshold=1.0))
    method = "aligned" if kind == "ground" else None
    spec = {"kind": kind, "file": "x", "inputs": (), "labels": labels, "method": method}
    return {"h": HeadSpec.model_validate({**spec, **more})}


def full(shape: tuple[int, ...], value: float) -> NDArray[np.float32]:
    return np.full(shape, value, np.float32)


def changed(answers: Answers, name: str, at: tuple[int, ...], value: float) -> Answers:
    copied = {key: array.copy() for key, array in answers.items()}
    copied[f"h.{name}"][at] = value
    return copied


def described(spec: dict[str, HeadSpec], one: Answers, other: Answers) -> list[str]:
    """Return the differences, which must be as many in the other direction."""
    found = different_decisions(spec, one, other, SIZE_PX)
    assert len(different_decisions(spec, other, one, SIZE_PX)) == len(found)
    return found


def boxes() -> Answers:
    """Return raw outputs for two images; the second has a box of each label above 0.3."""
    corners = np.array([[0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9]], np.float32)
    answers = {"h.logits": full((2, 2, 2), -5), "h.boxes": np.stack([corners, corners])}
    answers["h.logits"][1, 0, 0] = answers["h.logits"][1, 1, 1] = 1
    return answers


def test_a_finding_that_is_positive_for_one_side_only_is_described() -> None:
    ours = {"h.logits": full((2, 2), 0.2)}
    assert described(head("classify"), ours, ours) == []
    (words,) = described(head("classify"), ours, changed(ours, "logits", (1, 1), -0.2))
    assert words == "h: b at 0.5498 and 0.4502"


def test_a_finding_on_the_threshold_may_fall_on_either_side() -> None:
    ours = {"h.logits": full((1, 2), 0.001)}
    assert described(head("classify"), ours, {"h.logits": full((1, 2), -0.001)}) == []


def test_pixels_of_a_mask_away_from_the_threshold_are_described() -> None:
    ours = {"h.logits": full((1, 2, SIZE_PX, SIZE_PX), -2)}
    theirs = changed(ours, "logits", (0, 1, 3, 4), 2)
    assert described(head("segment"), ours, theirs) == ["h: b in 1 pixels"]
    near = changed(ours, "logits", (0, 1, 3, 4), -0.001)
    assert described(head("segment"), near, changed(ours, "logits", (0, 1, 3, 4), 0.001)) == []


def test_a_cell_that_joins_two_parts_of_a_clean_mask_is_no_difference() -> None:
    """One cell near the threshold decides whether a part is an island; masks are compared raw."""
    clean = {"largest": 1}
    labels = (Label(name="a", clean=MaskCleaning.model_validate(clean)),)
    ours = {"h.logits": full((1, 1, 8, 8), -5)}
    ours["h.logits"][0, 0, 4, 1:7] = 5
    ours["h.logits"][0, 0, 4, 4] = 0.001
    theirs = changed(ours, "logits", (0, 0, 4, 4), -0.001)
    assert described(head("segment", labels=labels), ours, theirs) == []


def test_a_subtype_is_judged_by_its_own_logit() -> None:
    """Its finding is near the threshold of both sides, and must not turn the subtype around."""
    labels = (Label(name="a"), Label(name="b", subtype_of="a"))
    ours = {"h.logits": np.array([[0.001, 3.0]], np.float32)}
    theirs = changed(ours, "logits", (0, 0), -0.001)
    assert described(head("classify", labels=labels), ours, theirs) == []


def test_the_same_boxes_are_the_same_decision() -> None:
    spec = head("detect", form="candidates")
    assert described(spec, boxes(), boxes()) == []
    moved = boxes()
    moved["h.boxes"] += 1e-4
    moved["h.logits"] += 1e-4
    assert described(spec, boxes(), moved) == []


@pytest.mark.parametrize(
    ("name", "at", "value", "count"),
    [
        ("logits", (1, 0, 0), -3.0, 1),  # a box less
        ("logits", (0, 1, 1), 3.0, 1),  # a box more
        ("logits", (1, 0, 0), 1.2, 2),  # another score: one on each side
        ("boxes", (1, 0, 0), 0.15, 2),  # another edge
    ],
)
def test_another_box_is_described(name: str, at: tuple[int, ...], value: float, count: int) -> None:
    found = described(head("detect", form="candidates"), boxes(), changed(boxes(), name, at, value))
    assert len(found) == count
    assert all("is one side's" in words for words in found)


def test_a_box_on_the_threshold_may_be_there_or_not() -> None:
    spec = head("detect", form="candidates")
    logit = float(np.log(0.3 / 0.7))
    above = changed(boxes(), "logits", (1, 0, 0), logit + 0.001)
    assert described(spec, above, changed(boxes(), "logits", (1, 0, 0), logit - 0.001)) == []


def test_boxes_of_a_grid_are_compared_as_well() -> None:
    ours = {"h.logits": full((1, 2, 4, 4), -5), "h.distances": full((1, 2, 4, 4, 4), 0.1)}
    theirs = changed(ours, "logits", (0, 1, 2, 2), 2)
    assert described(head("detect"), ours, ours) == []
    assert len(described(head("detect"), ours, theirs)) == 1


def test_a_phrase_that_is_there_for_one_side_only_is_described() -> None:
    ours = {"h.logits": full((1, 3, 4, 4), 0), "h.presence": full((1, 3), 1)}
    theirs = changed(ours, "presence", (0, 2), -1)
    assert described(head("ground"), ours, ours) == []
    assert described(head("ground"), ours, theirs) == ["h: phrase 2 at 0.7311 and 0.2689"]
