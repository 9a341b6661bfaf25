"""Run lengths, phrases and numbers of answers, each on its own."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from radiograph.errors import UnusablePhrase
from radiograph.postprocess.heads import Finding
from radiograph.preprocess import PreprocessSpec
from service.decoding.decode import ImageFacts
from service.encoders import coco_rle
from service.encoders.json_encoder import encode
from service.inference.phrase_encoder import normalise
from service.inference.results import AnalysisResult, ModelIdentity

MASKS = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12))


def counts_by_definition(mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> list[int]:
    """The definition, pixel by pixel."""
    counts, value = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


@given(MASKS)
def test_run_lengths_follow_their_definition(
    mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> None:
    counts = coco_rle.encode(mask)
    assert counts == counts_by_definition(mask)
    assert (coco_rle.decode(counts, *mask.shape) == mask).all()


@given(MASKS)
def test_run_lengths_within_the_box_are_the_same(
    mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> None:
    rows, columns = np.nonzero(mask)
    if rows.size:
        box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        x0, y0, x1, y1 = (float(edge) for edge in box)
        assert coco_rle.encode(mask, (x0, y0, x1, y1)) == coco_rle.encode(mask)


def test_run_lengths_are_those_of_coco() -> None:
    mask = np.array([[0, 1], [1, 1], [0, 1]], dtype=bool)
    assert coco_rle.encode(mask) == [1, 1, 1, 3]


@given(st.text())
def test_a_normalised_phrase_is_stable_and_on_one_line(text: str) -> None:
    try:
        phrase = normalise(text, 200)
    except UnusablePhrase:
        return
    assert normalise(phrase, 600) == phrase
    assert phrase.isprintable() or not phrase.isascii()
    assert len(phrase.splitlines()) == 1
    phrase.encode("utf-8")


def test_composed_and_decomposed_letters_are_one_phrase() -> None:
    assert normalise("e\u0301paule \n gauche", 50) == "\u00e9paule gauche"


def test_a_stray_number_that_is_not_finite_becomes_null() -> None:
    result = AnalysisResult(
        model=ModelIdentity("tiny", 1, "0" * 64),
        preprocess=PreprocessSpec(),
        image=ImageFacts(rows=2, columns=2),
        warnings=(),
        out_of_domain=None,
        timings_ms={"read": float("inf")},
        findings=(Finding("Effusion", None, float("nan"), 0.5, False),),
    )
    answer = json.loads(encode(result, "id"), parse_constant=pytest.fail)
    assert answer["findings"][0]["probability"] is None
