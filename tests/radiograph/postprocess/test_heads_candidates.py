"""Detection from candidates: known boxes, then invariants."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from radiograph.errors import InvalidVersion
from radiograph.geometry.geometry import Box, Geometry
from radiograph.manifest import HeadSpec, Label
from radiograph.postprocess.heads import MAX_CANDIDATES, Outputs, detect

SQUARE = Geometry.fit(448, 448, 224)
PORTRAIT = Geometry.fit(448, 224, 224)  # the image covers a quarter to three quarters of a row


def head(*labels: Label, form: str = "candidates", **more: float) -> HeadSpec:
    spec = {"kind": "detect", "file": "heads/x.onnx", "inputs": ("deep",), "form": form}
    return HeadSpec.model_validate({**spec, "labels": labels or (Label(name="x"),), **more})


def raw(boxes: list[Box], *logits: list[float]) -> dict[str, NDArray[np.float32]]:
    """Candidates, and of each label their logits; without any, all are sure."""
    scores = logits or [[9.0] * len(boxes)]
    return {"logits": np.array(scores, np.float32), "boxes": np.array(boxes, np.float32)}


def test_a_candidate_is_its_box_in_source_pixels() -> None:
    (found,) = detect(head(), raw([(0.25, 0.5, 0.75, 0.625)], [2.0]), SQUARE)
    assert found.box == (112.0, 224.0, 336.0, 280.0)
    assert found.score == pytest.approx(1 / (1 + math.exp(-2)))


def test_a_box_that_reaches_into_the_padding_is_clipped_to_the_image() -> None:
    (found,) = detect(head(), raw([(0.1, 0.5, 0.5, 1.0)]), PORTRAIT)
    assert found.box == (0.0, 224.0, 112.0, 448.0)


def test_a_candidate_whose_centre_lies_in_the_padding_is_dropped() -> None:
    left, right = (0.0, 0.2, 0.498, 0.4), (0.502, 0.2, 1.0, 0.4)  # centres 0.249 and 0.751
    assert detect(head(), raw([left, right]), PORTRAIT) == ()
    inside = (0.0, 0.2, 0.502, 0.4)
    assert len(detect(head(), raw([left, inside, right]), PORTRAIT)) == 1


def test_labels_share_the_boxes_and_have_their_own_thresholds() -> None:
    labels = (Label(name="a"), Label(name="b", threshold=0.9), Label(name="c", threshold=1.0))
    boxes: list[Box] = [(0, 0, 0.5, 0.5), (0.5, 0.5, 1, 1)]
    found = detect(head(*labels), raw(boxes, [1.0, -1.0], [1.0, 3.0], [90.0, 90.0]), SQUARE)
    assert [(one.name, one.box) for one in found] == [
        ("b", (224.0, 224.0, 448.0, 448.0)),
        ("a", (0.0, 0.0, 224.0, 224.0)),
    ]


def test_of_two_that_overlap_the_lower_one_is_dropped() -> None:
    boxes: list[Box] = [(0, 0, 0.5, 0.5), (0, 0, 0.5, 0.45), (0.5, 0.5, 1, 1)]
    found = detect(head(), raw(boxes, [1.0, 2.0, 0.5]), SQUARE)
    assert [one.box[3] for one in found] == pytest.approx([201.6, 448.0])


def test_candidates_at_the_cells_of_a_grid_are_the_boxes_of_the_grid() -> None:
    logits = np.random.default_rng(0).normal(size=(2, 7, 7)).astype(np.float32)
    grid = {"logits": logits, "distances": np.full((2, 4, 7, 7), 1 / 14, np.float32)}
    y, x = (np.mgrid[:7, :7] / 7).reshape(2, -1)
    boxes = np.stack([x, y, x + 1 / 7, y + 1 / 7], axis=1).astype(np.float32)
    labels = (Label(name="a"), Label(name="b"))
    one = detect(head(*labels, form="grid"), grid, PORTRAIT)
    other = detect(head(*labels), {"logits": logits.reshape(2, -1), "boxes": boxes}, PORTRAIT)
    assert [(d.name, d.score) for d in one] == [(d.name, d.score) for d in other]
    assert np.array([d.box for d in one]) == pytest.approx(
        np.array([d.box for d in other]), abs=1e-3
    )


# what must never happen


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["logits", "boxes"])
def test_an_output_that_is_not_finite_is_an_invalid_version(name: str, value: float) -> None:
    outputs = raw([(0, 0, 0.5, 0.5), (0, 0, 1, 1)])
    outputs[name][..., -1] = value
    with pytest.raises(InvalidVersion, match=f"`{name}` is not finite"):
        detect(head(), outputs, SQUARE)


@pytest.mark.parametrize(
    "box",
    [(0.6, 0.2, 0.4, 0.3), (0.2, 0.6, 0.3, 0.4), (0.5, 0.5, 0.5, 0.6), (0.7, 0.7, 0.7, 0.7)],
    ids=["inverted", "upside down", "flat", "a point"],
)
def test_an_empty_box_is_dropped(box: tuple[float, float, float, float]) -> None:
    assert detect(head(), raw([box]), SQUARE) == ()


@pytest.mark.parametrize("edge", [2.0, 1e30, 3e38])
def test_a_box_that_leaves_the_grid_is_clipped_or_dropped(edge: float) -> None:
    (found,) = detect(head(), raw([(-edge, -edge, edge, edge)]), SQUARE)
    assert found.box == (0.0, 0.0, 448.0, 448.0)
    assert detect(head(), raw([(edge, edge, edge, edge), (-edge, 0, 0, 1)]), SQUARE) == ()


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("logits", (1, 0)),
        ("logits", (2, 3)),
        ("logits", (3,)),
        ("logits", (1, 3, 1)),
        ("boxes", (0, 4)),
        ("boxes", (2, 4)),
        ("boxes", (3, 5)),
        ("boxes", (4, 3)),
        ("boxes", (1, 3, 4)),
    ],
)
def test_other_shapes_and_no_candidate_at_all_are_refused(
    name: str, shape: tuple[int, ...]
) -> None:
    outputs = raw([(0, 0, 1, 1)] * 3) | {name: np.zeros(shape, np.float32)}
    with pytest.raises(InvalidVersion, match=f"`{name}` has shape"):
        detect(head(), outputs, SQUARE)


def test_no_candidate_in_the_image_gives_no_box() -> None:
    assert detect(head(), raw([(0, 0, 0.1, 0.1)]), PORTRAIT) == ()


def test_a_head_that_answers_in_the_other_form_is_refused() -> None:
    grid: Outputs = {
        "logits": np.zeros((1, 7, 7), np.float32),
        "distances": np.zeros((1, 4, 7, 7), np.float32),
    }
    with pytest.raises(InvalidVersion, match="`logits` has shape"):
        detect(head(), grid, SQUARE)
    with pytest.raises(InvalidVersion, match="`logits` has shape"):
        detect(head(form="grid"), raw([(0, 0, 1, 1)]), SQUARE)
    with pytest.raises(InvalidVersion, match="gives no `boxes`"):
        detect(head(), {"logits": np.zeros((1, 3), np.float32)}, SQUARE)


def test_only_the_best_candidates_enter_suppression(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Box] = []
    to_source = Geometry.box_to_source

    def counted(self: Geometry, box: Box) -> Box:
        asked.append(box)
        return to_source(self, box)

    monkeypatch.setattr(Geometry, "box_to_source", counted)
    corners = np.random.default_rng(0).random((200_000, 2)).astype(np.float32) * 0.99
    boxes = np.concatenate([corners, corners + np.float32(0.0001)], axis=1)
    logits = np.linspace(5, 9, 200_000, dtype=np.float32)[None]
    found = detect(head(), {"logits": logits, "boxes": boxes}, SQUARE)
    assert len(asked) == MAX_CANDIDATES
    assert found[0].score == pytest.approx(1 / (1 + math.exp(-9)))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.sampled_from([1, 2, 7, 100, 300]),
    columns=st.sampled_from([1, 2, 7, 100, 300]),
    count=st.sampled_from([1, 2, 100]),
    seed=st.integers(0, 2**16),
)
def test_no_box_lies_outside_the_image(rows: int, columns: int, count: int, seed: int) -> None:
    random, geometry = np.random.default_rng(seed), Geometry.fit(rows, columns, 224)
    outputs: Outputs = {
        "logits": random.normal(scale=5, size=(1, count)).astype(np.float32),
        "boxes": random.normal(0.5, 0.5, size=(count, 4)).astype(np.float32),
    }
    for found in detect(head(), outputs, geometry):
        assert 0 <= found.box[0] < found.box[2] <= columns
        assert 0 <= found.box[1] < found.box[3] <= rows
