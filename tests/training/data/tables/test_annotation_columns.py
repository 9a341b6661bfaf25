"""Labels, masks and boxes of one line of a table."""

import json

import pytest

from training.data.tables.annotation_columns import labels, parse


def _boxes(*names: object) -> str:
    return json.dumps([{"label": name, "xyxy": [1, 2, 3, 4]} for name in names])


def test_spaces_around_names_do_not_count() -> None:
    assert labels({"labels": " TB | normal|"}) == ("TB", "normal")
    found = parse({"boxes": _boxes(" Nodule", 7), "class_masks": '{"Heart ": "a.png"}'})
    assert found is not None
    assert [name for name, _ in found.boxes] == ["Nodule", "7"]
    assert found.masks == {"Heart": ("a.png",)}


@pytest.mark.parametrize(
    "record",
    [
        {"boxes": _boxes("")},
        {"boxes": _boxes("  ")},
        {"class_masks": '{"": "a.png"}'},
        {"class_masks": "{broken"},
        {"boxes": '[{"label": "N", "xyxy": [NaN, 1, 2, 3]}]'},
        {"boxes": '[{"label": "N", "xyxy": [5, 5, 1, 1]}]'},
        {"boxes": '[{"label": "N"}]'},
        {"extra": "[" * 100_000},
    ],
)
def test_malformed_annotations_are_none(record: dict[str, str]) -> None:
    assert parse(record) is None
