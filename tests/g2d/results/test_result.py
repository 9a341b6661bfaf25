"""`Result`: read from JSON, equal by what it says, and hostile JSON is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import g2d
from g2d.results import Heatmap, Mask, RunLengths
from g2d.results.pixels import numbers_of
from g2d.results.tables import COLUMNS
from radiograph.errors import MalformedInput


@pytest.fixture(scope="module")
def result(tiny_models: Path, rectangle_dicom: bytes) -> g2d.Result:
    with g2d.load(tiny_models, threads=1) as model:
        return model.analyze(rectangle_dicom, phrases=["bright", "dark"])


def test_the_json_comes_back_unchanged_with_members_of_a_later_version(
    result: g2d.Result,
) -> None:
    members = json.loads(result.to_json()) | {"mood": "fine", "source": "/etc/passwd", "text": "a"}
    text = json.dumps(members)
    again = g2d.Result.from_json(text)
    assert again == result
    assert again.to_json() == text
    assert again.source is None


def test_request_and_timings_do_not_make_a_difference_but_answers_do(result: g2d.Result) -> None:
    members = json.loads(result.to_json())
    other = g2d.Result.from_json(json.dumps({**members, "request_id": "a", "timings_ms": {}}))
    assert other == result
    assert hash(other) == hash(result)
    assert g2d.Result.from_json(json.dumps({**members, "boxes": []})) != result


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "null", "[]", "{}", b"\xff", '{"request_id": 1}', "[" * 10_000,
        '{"request_id": "a", "model": {"name": "m", "version": "one", "digest": "d"}}',
    ],
)  # fmt: skip
def test_text_that_is_no_answer_is_refused(text: str | bytes) -> None:
    with pytest.raises(MalformedInput, match="not the JSON of an answer"):
        g2d.Result.from_json(text)


def test_a_name_that_there_is_not_names_the_others(result: g2d.Result) -> None:
    with pytest.raises(KeyError, match="Left lung, Right lung"):
        result.mask("Heart")
    with pytest.raises(KeyError, match="Lung opacity"):
        result.finding("Heart")


def mask_of(size: tuple[int, int], counts: Any, encoding: str = "coco_uncompressed") -> Mask:
    return Mask("A", None, None, RunLengths(encoding, size, counts), 0, None, None)


def test_run_lengths_go_down_the_columns() -> None:
    assert mask_of((2, 3), (1, 2, 3)).array.tolist() == [[False, True, False], [True, False, False]]


@pytest.mark.parametrize(
    ("size", "counts", "encoding"),
    [
        ((2, 3), (1, 2), "coco_uncompressed"), ((2, 3), (9, -3), "coco_uncompressed"),
        ((10**9, 10**9), (10**18,), "coco_uncompressed"), ((0, 0), (), "coco_uncompressed"),
        ((-2, -3), (6,), "coco_uncompressed"), ((2, 3), "06", "coco_compressed"),
    ],
)  # fmt: skip
def test_run_lengths_that_do_not_fill_the_mask_are_refused(
    size: tuple[int, int], counts: Any, encoding: str
) -> None:
    with pytest.raises(MalformedInput):
        _ = mask_of(size, counts, encoding).array


def test_heat_maps_are_checked(result: g2d.Result) -> None:
    good = result.phrases[0].heatmap
    assert numbers_of(Heatmap("none", 2, 2, None)) is None
    numbers = numbers_of(Heatmap("float_rows", 1, 2, ((0.25, 1.0),)))
    assert numbers is not None
    assert numbers.tolist() == [[0.25, 1.0]]
    for bad in (replace(good, rows=2), replace(good, data="%%%"), replace(good, data="aGk=")):
        with pytest.raises(MalformedInput, match="the heat map is not"):
            _ = bad.array
    with pytest.raises(MalformedInput, match="the heat map is not"):
        _ = Heatmap("float_rows", 2, 2, ((0.0, 1.0), (0.0,))).array


def test_rows_are_flat_and_all_alike(result: g2d.Result) -> None:
    rows = result.rows()
    assert all(tuple(row) == COLUMNS for row in rows)
    tasks = [row["task"] for row in rows]
    assert list(dict.fromkeys(tasks)) == ["classify", "segment", "detect", "ground"]
    left = next(row for row in rows if row["name"] == "Left lung")
    assert [left[edge] for edge in ("x0", "y0", "x1", "y1")] == [20, 40, 60, 80]
    assert (left["area_px"], left["probability"]) == (1560, None)


def test_a_subtype_names_its_finding_and_others_do_not(result: g2d.Result) -> None:
    members = json.loads(result.to_json())
    assert [finding.subtype_of for finding in result.findings] == [None, None]
    members["findings"][0] |= {"subtype_of": "No finding", "positive": False}
    changed = g2d.Result.from_json(json.dumps(members)).findings[0]
    assert (changed.subtype_of, changed.positive) == ("No finding", False)
