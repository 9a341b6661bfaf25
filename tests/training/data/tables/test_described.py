"""Descriptions of data sets: what they say of a row, and files that are none."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.builders.training.runs.tiny_runs import picture, record, write_table
from training.config.description import Description
from training.config.run import DataConfig
from training.data.catalog import open_table
from training.data.rows.dataset_files import DataError
from training.data.rows.reader import Row
from training.data.tables.described import SHIPPED, described, description_of, read_description

TWO_CODES = """
findings: {Mass: {code: {scheme: A, value: a, meaning: m}}}
boxes: {Mass: {code: {scheme: B, value: b, meaning: m}}}
"""
BOX = (1.0, 2.0, 3.0, 4.0)


def _row(*labels: str, boxes: Sequence[str] = (), extra: dict[str, str] | None = None) -> Row:
    drawn = tuple((label, BOX) for label in boxes)
    row = Row("own", "a.png", "a", "train", "", labels, "PA", "", "", "", "open")
    return replace(row, boxes=drawn, extra=extra or {})


def _description(text: str) -> Description:
    sections: dict[str, object] = {"findings": {}, "masks": {}, "boxes": {}}
    return Description.model_validate(sections | yaml.safe_load(text))


@pytest.mark.parametrize(
    ("known_for", "labels", "expected"),
    [
        ("listed", ("Tuberculosis",), True),
        ("listed", ("Mass",), None),
        ("listed", (), None),
        ("listed", ("No Finding",), False),
        ("labelled_rows", ("Mass",), False),
        ("labelled_rows", (), None),
        ("every_row", (), False),
        ("every_row", ("No Finding", "Tuberculosis"), True),
    ],
)
def test_an_absent_label_is_unknown_or_absent_as_described(
    known_for: str, labels: tuple[str, ...], expected: bool | None
) -> None:
    description = _description(f"known_for: {known_for}\nfindings: {{Tuberculosis: {{}}}}")
    assert described(_row(*labels), description).findings.get("Tuberculosis") is expected


def test_adjudicated_facts_outweigh_labels() -> None:
    text = "findings: {Pneumothorax: {labels: [PTX, panel.ptx=YES], absent: [panel.ptx=NO]}}"
    description = _description(text)
    found = [
        described(_row(*labels, extra=extra), description).findings
        for labels, extra in [(("PTX",), {}), (("PTX",), {"panel.ptx": "NO"}), ((), {})]
    ]
    assert found == [{"Pneumothorax": True}, {"Pneumothorax": False}, {}]


def test_boxes_are_known_where_they_are_drawn_or_said_to_be_absent() -> None:
    description = _description(
        "boxes: {Opacity: {names: [Lung Opacity], instead: [Pneumonia], absent_with: [read=none]},"
        " Left lung: {}, Nodule: {}}"
    )
    both = described(_row("x", boxes=["Lung Opacity", "Pneumonia"]), description)
    assert both.boxes == (("Opacity", BOX),)
    assert both.complete_boxes == ()
    assert described(_row(boxes=["Pneumonia"]), description).boxes == (("Opacity", BOX),)
    read = described(_row(extra={"read": "none"}), description)
    assert read.complete_boxes == ("Opacity",)
    assert described(_row("No Finding"), description).complete_boxes == ("Opacity", "Nodule")


def _write(root: Path, description: str = "") -> DataConfig:
    rows = [
        record("own/0.png", labels="Tuberculosis", class_masks={"Left_Lung": "own/m.png"}),
        record("own/1.png", labels="normal", boxes=[{"label": "Nodule", "xyxy": [1, 2, 3, 4]}]),
        record("own/2.png", labels="Mass|pleural_effusion"),
    ]
    files = {f"own/{name}": picture(0) for name in ("0.png", "1.png", "2.png", "m.png")}
    write_table(root, "own", rows, files, tar=False)
    if description:
        (root / "own.yaml").write_text(description)
    return DataConfig(root=root, tables=("own",))


def test_names_of_a_table_without_a_description_stand_for_themselves(tmp_path: Path) -> None:
    first, normal, other = open_table(_write(tmp_path), "own").rows()
    assert first.findings == {"Tuberculosis": True}
    assert normal.findings == dict.fromkeys(
        ("Tuberculosis", "Mass", "pleural_effusion", "Pleural Effusion"), False
    )
    assert other.findings["Pleural Effusion"] is True
    assert set(first.masks) == {"Left_Lung", "Left lung"}
    assert first.organs == ("Left lung",)
    assert normal.complete_boxes == ("Nodule",)
    assert other.complete_boxes == ()


def test_a_file_beside_the_table_or_the_configuration_describes_it(tmp_path: Path) -> None:
    beside = _write(tmp_path, "known_for: labelled_rows\nmasks: {Lung: {names: [Left_Lung]}}\n")
    first, _, other = open_table(beside, "own").rows()
    assert other.findings["Tuberculosis"] is False
    assert set(first.masks) == {"Lung"}
    given = beside.model_copy(update={"descriptions": {"own": _description("masks: {}")}})
    assert not any(row.masks for row in open_table(given, "own").rows())
    assert open_table(given, "own").fingerprint() != open_table(beside, "own").fingerprint()


def test_a_supplement_adds_boxes_and_facts_by_image(tmp_path: Path) -> None:
    config = _write(tmp_path, "supplement: more\n")
    before = open_table(config, "own").fingerprint()
    boxes = json.dumps([{"label": "Mass", "xyxy": [5, 6, 7, 8]}]).replace('"', '""')
    (tmp_path / "more.csv").write_text(
        f'image,labels,boxes,extra\nown/1.png,Fracture,"{boxes}","{{""read"": {{""by"": 3}}}}"\n'
        "own/2.png,,[[],\n"
    )
    _, row, broken = open_table(config, "own").rows()
    assert row.boxes == (("Mass", (5.0, 6.0, 7.0, 8.0)),)
    assert row.findings["Fracture"] is True
    assert row.extra == {"read.by": "3"}
    assert broken.left_out == "malformed annotation"
    assert open_table(config, "own").fingerprint() != before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "valid dictionary"),
        ("findings: [Mass]", "findings: Input should be a valid dictionary"),
        ("findings: {Mass: {label: x}}", "findings.Mass.label: Extra inputs"),
        ("findings: {No: {}}", "valid string"),
        ("known_for: sometimes", "known_for: Input should be"),
        ("masks: {Heart: {code: {scheme: SCT}}}", "masks.Heart.code.value: Field required"),
        ("masks: {Heart: {names: ['']}}", "at least 1 character"),
        ("supplement: ../../etc/passwd", "supplement: String should match"),
        ("a: [", "while parsing"),
        ("title: !!python/object/apply:os.system [id]", "constructor"),
        ("[" * 5000, "recursion"),
        ("title: \x00", "no description"),
        ("#" * 2**21, "larger than 1 MiB"),
        (TWO_CODES, "Mass has two codes"),
    ],
)
def test_a_file_that_is_no_description_is_refused_in_one_line(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match="is no description of a data set") as refused:
        description_of(tmp_path, "own")
    assert message in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is no description of a data set"):
        read_description(tmp_path / "own.yaml")


def test_a_description_of_a_table_that_is_not_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such tables: other"):
        DataConfig(root=tmp_path, tables=("own",), descriptions={"other": Description()})


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_description_is_valid_and_has_a_title(path: Path) -> None:
    assert read_description(path).title
