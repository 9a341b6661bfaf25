"""Results as a flat table, one row for each thing that was found."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from g2d.results.result import Box, Cell, Phrase, Result

COLUMNS = (
    "file",
    "model",
    "version",
    "warnings",
    "task",
    "name",
    "probability",
    "threshold",
    "positive",
    "value",
    "unit",
    "area_px",
    "area_mm2",
    "x0",
    "y0",
    "x1",
    "y1",
)
"""Keys of every row. `task` is classify, segment, measure, detect or ground; cells that a task
does not fill are None. `warnings` are the codes of the whole result, separated by spaces."""


def rows(result: "Result", file: str | None = None) -> "list[dict[str, Cell]]":
    """Return the rows of a result; `file` fills the column of that name."""
    same: dict[str, Cell] = {
        "file": file,
        "model": result.model.name,
        "version": result.model.version,
        "warnings": " ".join(notice.code for notice in result.warnings),
    }
    empty: dict[str, Cell] = dict.fromkeys(COLUMNS)
    return [{**empty, **same, **cells} for cells in _cells(result)]


def _cells(result: "Result") -> "Iterator[dict[str, Cell]]":
    for finding in result.findings:
        yield {
            "task": "classify",
            "name": finding.name,
            "probability": finding.probability,
            "threshold": finding.threshold,
            "positive": finding.positive,
        }
    for mask in result.masks:
        area: dict[str, Cell] = {"area_px": mask.area_px, "area_mm2": mask.area_mm2}
        yield {"task": "segment", "name": mask.name, **area, **_box(mask.box)}
    for found in result.measurements:
        value: dict[str, Cell] = {"value": found.value, "unit": found.unit}
        yield {"task": "measure", "name": found.name, **value}
    for item in result.boxes:
        score: dict[str, Cell] = {"probability": item.score}
        yield {"task": "detect", "name": item.name, **score, **_box(item.box)}
    for phrase in result.phrases:
        yield from _places(phrase)


def _places(phrase: "Phrase") -> "Iterator[dict[str, Cell]]":
    """Yield a row for each box of a phrase, and one without a box if there is none."""
    decision: dict[str, Cell] = {
        "task": "ground",
        "name": phrase.phrase,
        "probability": phrase.similarity if phrase.presence is None else phrase.presence,
        "threshold": phrase.threshold,
        "positive": phrase.found,
    }
    boxes: list[Box | None] = [place.box for place in phrase.boxes]
    for box in boxes or [phrase.box]:
        yield {**decision, **_box(box)}


def _box(box: "Box | None") -> "dict[str, Cell]":
    return {} if box is None else dict(zip(("x0", "y0", "x1", "y1"), box, strict=True))
