"""Subtypes in a manifest: a subtype has one supertype, in its own head, and chains are refused."""

import json
from typing import Any

import pytest

from radiograph.errors import InvalidVersion
from radiograph.manifest import ModelManifest
from tests.builders.models.versions.small_version import fields

FILES = dict.fromkeys(("trunk.onnx", "heads/findings.onnx", "golden.npz"), "0" * 64)


def read(*labels: dict[str, Any], **changes: Any) -> ModelManifest:
    head = {"kind": "classify", "file": "heads/findings.onnx", "inputs": ["global_features"]}
    heads = {"findings": {**head, "labels": labels, **changes}}
    return ModelManifest.from_json(json.dumps({**fields(FILES), "heads": heads}))


def label(name: str, subtype_of: Any = None) -> dict[str, Any]:
    return {"name": name} if subtype_of is None else {"name": name, "subtype_of": subtype_of}


def test_a_subtype_is_read_and_written() -> None:
    manifest = read(label("Viral pneumonia", "Pneumonia"), label("Pneumonia"))
    assert [each.subtype_of for each in manifest.heads["findings"].labels] == ["Pneumonia", None]
    assert ModelManifest.from_json(manifest.to_json()) == manifest
    assert manifest.to_json().count('"subtype_of"') == 1


def test_a_version_without_subtypes_is_written_as_before() -> None:
    manifest = read(label("Pneumonia"))
    assert "subtype_of" not in manifest.to_json()
    assert "subtype_of" not in manifest.model_dump_json()


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([label("a", "b")], "a: `subtype_of` must be one"),
        ([label("a", "A"), label("b")], "a: `subtype_of` must be one"),
        ([label("a", "b"), label("b"), label("b")], "a: `subtype_of` must be one"),
        ([label("a", "a")], "a: `subtype_of` must be one other"),
        ([label("a", "b"), label("b", "a")], "no subtype"),
        ([label("a", "b"), label("b", "c"), label("c")], "no subtype"),
        ([label("a", "b"), label("b", "c"), label("c", "a")], "no subtype"),
        ([label("a", ""), label("b")], "subtype_of"),
        ([label("a", ["b"]), label("b")], "subtype_of"),
        ([label("a", 0), label("b")], "subtype_of"),
        ([label("a", "b\n"), label("b")], "subtype_of"),
        ([label("a", "b" * 10_000), label("b")], "subtype_of"),
    ],
    ids=[
        "missing", "other case", "two of that name", "itself", "each other", "chain", "cycle",
        "empty", "list", "number", "control character", "long",
    ],
)  # fmt: skip
def test_a_subtype_of_nothing_or_in_a_chain_is_refused(
    labels: list[dict[str, Any]], reason: str
) -> None:
    with pytest.raises(InvalidVersion, match=reason):
        read(*labels)


@pytest.mark.parametrize("kind", ["segment", "detect"])
def test_only_findings_have_subtypes(kind: str) -> None:
    with pytest.raises(InvalidVersion, match="only the labels of a classify head"):
        read(label("a", "b"), label("b"), kind=kind)


def test_a_check_is_no_subtype() -> None:
    with pytest.raises(InvalidVersion, match="only the labels of a classify head"):
        read(label("mirrored", "lateral"), label("lateral"), kind="check")


def test_a_subtype_of_a_label_of_another_head_is_refused() -> None:
    head = {"kind": "classify", "file": "heads/findings.onnx", "inputs": ["global_features"]}
    heads = {
        "findings": {**head, "labels": [label("Pneumonia")]},
        "more": {**head, "labels": [label("Viral pneumonia", "Pneumonia")]},
    }
    with pytest.raises(InvalidVersion, match="must be one other label"):
        ModelManifest.from_json(json.dumps({**fields(FILES), "heads": heads}))
