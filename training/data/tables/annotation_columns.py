"""Annotations in the columns of a CSV: labels, masks, boxes and further facts.

labels        "Effusion|Mass"                        class_masks  {"Heart": "masks/1.png"}
boxes         [{"label": "Mass", "xyxy": [...]}]     extra        {"a": 1, "b": {"c": "YES"}}
                                                                  or question-answer pairs
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from radiograph.geometry.geometry import Box

_DEEPEST = 8


@dataclass(frozen=True)
class Annotations:
    """Annotations of one row, with the names of the table.

    Attributes:
        masks: name -> paths.
        boxes: (name, (x0, y0, x1, y1)) in stored pixels.
        answers: question-answer pairs.
        extra: further facts as text; nested names are joined by a dot, as in `b.c`.
    """

    masks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    boxes: tuple[tuple[str, Box], ...] = ()
    answers: tuple[tuple[str, str], ...] = ()
    extra: dict[str, str] = field(default_factory=dict)


NOTHING = Annotations()
"""Annotations of a row that has none."""


def labels(record: Mapping[str, str]) -> tuple[str, ...]:
    """Return the labels of a row, without the spaces around them."""
    stripped = (label.strip() for label in record.get("labels", "").split("|"))
    return tuple(filter(None, stripped))


def parse(record: Mapping[str, str]) -> Annotations | None:
    """Return the annotations of a row, or None if they are malformed."""
    try:
        extra = json.loads(record.get("extra") or "{}")
        questions = extra if isinstance(extra, list) else []
        masks = json.loads(record.get("class_masks") or "{}")
        boxes = json.loads(record.get("boxes") or "[]")
        return Annotations(
            {_name(name): (str(path),) for name, path in masks.items()},
            tuple((_name(box["label"]), _box(box["xyxy"])) for box in boxes),
            tuple((str(qa["question"]), str(qa["answer"])) for qa in questions),
            dict(_facts(extra, "")) if isinstance(extra, dict) else {},
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _name(given: object) -> str:
    """Return the name of a mask or box without the spaces around it, as those of labels.

    Raises:
        ValueError: it is empty.
    """
    name = str(given).strip()
    if not name:
        raise ValueError("a mask or box without a name")
    return name


def _box(corners: object) -> Box:
    """Return a box of numbers.

    Raises:
        TypeError, ValueError: it is no list of four finite numbers with a positive area.
    """
    if not isinstance(corners, list):
        raise TypeError("a box is a list")
    x0, y0, x1, y1 = (float(number) for number in corners)
    if not all(map(math.isfinite, (x0, y0, x1, y1))) or x1 <= x0 or y1 <= y0:
        raise ValueError("a box without an area")
    return x0, y0, x1, y1


def _facts(value: Mapping[str, object], prefix: str) -> Iterator[tuple[str, str]]:
    """Yield name and text of each fact."""
    for name, fact in value.items():
        if isinstance(fact, dict):
            if prefix.count(".") < _DEEPEST:
                yield from _facts(fact, f"{prefix}{name}.")
        elif fact is not None:
            yield f"{prefix}{name}", str(fact)
