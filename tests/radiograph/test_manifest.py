"""The manifest is strict: faults are found when it is read."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from radiograph.errors import InvalidVersion
from radiograph.manifest import CHECK, HeadSpec, MaskCleaning, ModelManifest, PhraseRule, Task
from tests.builders.models.versions.small_version import fields

DIGEST = "0" * 64
FILES = dict.fromkeys(("trunk.onnx", "heads/findings.onnx", "golden.npz"), DIGEST)


def read(**changes: Any) -> ModelManifest:
    return ModelManifest.from_json(json.dumps({**fields(FILES), **changes}))


def test_a_manifest_is_equal_after_a_round_trip_through_json() -> None:
    manifest = read()
    assert ModelManifest.from_json(manifest.to_json()) == manifest
    assert manifest.to_json().endswith("}\n")


def test_a_manifest_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read().__setattr__("version", 2)


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{}", "{", "\x00", "[" * 100_000, '{"schema_version": 1', "NaN"],
    ids=["empty", "null", "list", "object", "cut", "nul", "deep", "cut-later", "nan"],
)
def test_garbage_is_an_invalid_version(text: str) -> None:
    with pytest.raises(InvalidVersion):
        ModelManifest.from_json(text)


def test_bytes_that_are_not_utf8_are_an_invalid_version() -> None:
    with pytest.raises(InvalidVersion):
        ModelManifest.from_json(b'{"name": "\xff"}')


def test_the_message_names_the_first_thing_that_is_wrong() -> None:
    with pytest.raises(InvalidVersion, match=r"^golden\.tolerance: "):
        read(golden={"file": "golden.npz", "tolerance": 2.0})


@pytest.mark.parametrize(
    "changes",
    [
        {"surprise": 1},
        {"schema_version": 2},
        {"version": 0},
        {"version": -1},
        {"preprocess": {"size_px": 225}},
        {"trunk": {"file": "trunk.onnx", "outputs": ["deep"]}},
        {"golden": {"file": "golden.npz", "tolerance": 0.0}},
        {"files": {**FILES, "extra.bin": "0" * 63}},
        {"files": {**FILES, "extra.bin": "A" * 64}},
    ],
)
def test_a_manifest_that_violates_the_schema_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidVersion):
        read(**changes)


@pytest.mark.parametrize(
    "name", ["../x", "/etc", "", ".", "X", "a b", "a/b", "-a", "a" * 65, "a\n"]
)
def test_a_name_that_is_not_a_folder_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidVersion, match=r"^name: "):
        read(name=name)


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "", "./x", "a\\b", "a//../b"])
def test_a_path_that_leaves_the_version_is_refused(path: str) -> None:
    with pytest.raises(InvalidVersion):
        read(files={**FILES, path: DIGEST})
    with pytest.raises(InvalidVersion):
        read(trunk={"file": path, "outputs": ["global_features"]})


@pytest.mark.parametrize("missing", sorted(FILES))
def test_a_file_that_is_named_needs_a_digest(missing: str) -> None:
    files = {path: digest for path, digest in FILES.items() if path != missing}
    with pytest.raises(InvalidVersion, match=f"files without a digest.*{missing}"):
        read(files=files)


def test_the_files_of_the_text_encoder_and_the_statistics_need_digests() -> None:
    text = {"file": "text.onnx", "tokenizer": "tokenizer.json", "max_tokens": 64}
    with pytest.raises(InvalidVersion, match=r"text\.onnx.*tokenizer\.json"):
        read(text=text)
    statistics = {"file": "statistics.npz", "threshold": 2.0, "threshold_rule": "x"}
    with pytest.raises(InvalidVersion, match=r"statistics\.npz"):
        read(out_of_domain=statistics)


def test_a_head_reads_only_outputs_of_the_trunk_or_the_text_encoder() -> None:
    head = {
        "kind": "ground",
        "file": "heads/findings.onnx",
        "inputs": ["global_features", "phrase_features"],
        "method": "aligned",
    }
    with pytest.raises(InvalidVersion, match="head regions reads features that do not exist"):
        read(heads={"regions": head})
    files = {**FILES, "text.onnx": DIGEST, "tokenizer.json": DIGEST}
    text = {"file": "text.onnx", "tokenizer": "tokenizer.json", "max_tokens": 64}
    assert read(heads={"regions": head}, text=text, files=files).tasks == (Task.GROUND,)


@pytest.mark.parametrize(
    ("kind", "labels", "method"),
    [
        (Task.GROUND, (), None),
        (Task.GROUND, ({"name": "x"},), "aligned"),
        (Task.CLASSIFY, (), None),
        (Task.SEGMENT, ({"name": "x"},), "aligned"),
    ],
)
def test_labels_and_method_must_match_the_kind(kind: Task, labels: Any, method: str | None) -> None:
    with pytest.raises(
        ValueError, match=r"only a ground head, has a method|every head but a ground head"
    ):
        HeadSpec(kind=kind, file="x.onnx", inputs=("a",), labels=labels, method=method)


def _detect(**changes: Any) -> dict[str, Any]:
    spec = {"kind": "detect", "file": "heads/findings.onnx", "inputs": ["global_features"]}
    return {**spec, "labels": [{"name": "x"}], **changes}


def test_the_form_of_an_older_detect_head_is_a_grid_and_is_not_written() -> None:
    manifest = read(heads={"boxes": _detect()})
    assert manifest.heads["boxes"].form == "grid"
    assert manifest.heads["boxes"].outputs == {"logits", "distances"}
    assert '"form"' not in manifest.to_json()


def test_a_detect_head_may_have_the_form_candidates() -> None:
    manifest = read(heads={"boxes": _detect(form="candidates")})
    assert manifest.heads["boxes"].outputs == {"logits", "boxes"}
    assert '"form": "candidates"' in manifest.to_json()
    assert ModelManifest.from_json(manifest.to_json()) == manifest


@pytest.mark.parametrize("form", ["boxes", "", "GRID", None, 1])
def test_another_form_is_refused(form: Any) -> None:
    with pytest.raises(InvalidVersion, match=r"^heads\.boxes\.form: "):
        read(heads={"boxes": _detect(form=form)})


def test_a_head_of_another_kind_cannot_have_the_form_candidates() -> None:
    head = _detect(kind="classify", form="candidates")
    with pytest.raises(InvalidVersion, match="only a detect head can have the form candidates"):
        read(heads={"findings": head})


def _segment(clean: Any = None, **changes: Any) -> dict[str, Any]:
    label = {"name": "Left lung"} if clean is None else {"name": "Left lung", "clean": clean}
    head = {"kind": "segment", "file": "heads/findings.onnx", "inputs": ["global_features"]}
    return {**head, "labels": [label], **changes}


def test_a_mask_without_parameters_is_not_cleaned_and_nothing_is_written() -> None:
    manifest = read(heads={"anatomy": _segment()})
    assert manifest.heads["anatomy"].labels[0].clean is None
    assert '"clean"' not in manifest.to_json()
    assert '"clean"' not in manifest.model_dump_json()


def test_the_cleaning_of_a_mask_is_read_and_written() -> None:
    manifest = read(heads={"anatomy": _segment({"largest": 1, "fill_holes": True})})
    clean = MaskCleaning(largest=1, fill_holes=True)
    assert manifest.heads["anatomy"].labels[0].clean == clean
    assert ModelManifest.from_json(manifest.to_json()) == manifest


@pytest.mark.parametrize(
    "clean",
    [
        {},
        {"largest": 0},
        {"largest": 1.5},
        {"min_share": -0.1},
        {"min_share": 1.1},
        {"min_share": 0},
        {"min_share": "nan"},
        {"fill_holes": "perhaps"},
        {"largest": 1, "smallest": 2},
        1,
        True,
    ],
)
def test_a_cleaning_that_is_no_cleaning_is_refused(clean: Any) -> None:
    with pytest.raises(InvalidVersion, match=r"^heads\.anatomy\.labels\.0\.clean"):
        read(heads={"anatomy": _segment(clean)})


def test_only_masks_can_be_cleaned() -> None:
    head = _segment({"largest": 1}, kind="classify")
    with pytest.raises(InvalidVersion, match="only the labels of a segment head can have `clean`"):
        read(heads={"findings": head})


def test_the_shipped_version_is_read_without_loss_and_cleans_its_masks() -> None:
    (path,) = Path("models/g2d-cxr").glob("*/manifest.json")
    text = path.read_text()
    manifest = ModelManifest.from_json(text)
    assert manifest.to_json().encode() == text.encode()
    masks = [
        label for head in manifest.heads.values() if head.kind == "segment" for label in head.labels
    ]
    assert {label.name for label in masks} == {"Left lung", "Right lung", "Heart"}
    assert all(label.clean is not None and label.clean.largest == 1 for label in masks)


INT8 = {"trunk": "int8.onnx", "golden": {"file": "int8.npz", "tolerance": 0.1}, "calibration": ""}
INT8_FILES = {**FILES, "int8.onnx": DIGEST, "int8.npz": DIGEST}


def test_a_version_without_variants_is_written_as_before() -> None:
    assert "variants" not in json.loads(read().to_json())
    assert "feature_maps" not in json.loads(read().to_json())["golden"]


def test_a_variant_has_a_trunk_and_golden_outputs_of_its_own() -> None:
    manifest = read(files=INT8_FILES, variants={"int8": INT8})
    assert ModelManifest.from_json(manifest.to_json()) == manifest
    assert manifest.in_precision("float32") == manifest
    int8 = manifest.in_precision("int8")
    assert (int8.trunk.file, int8.golden.file) == ("int8.onnx", "int8.npz")
    assert (int8.trunk.outputs, int8.heads) == (manifest.trunk.outputs, manifest.heads)


@pytest.mark.parametrize("missing", ["int8.onnx", "int8.npz"])
def test_the_files_of_a_variant_need_digests(missing: str) -> None:
    files = {path: digest for path, digest in INT8_FILES.items() if path != missing}
    with pytest.raises(InvalidVersion, match=f"files without a digest.*{missing}"):
        read(files=files, variants={"int8": INT8})


@pytest.mark.parametrize(
    ("precision", "changes", "reason"),
    [
        ("int4", {}, "variants.int4"),
        ("float32", {}, "float32 is the precision of the version itself"),
        ("int8", {"trunk": "../trunk.onnx"}, "not a path inside"),
        ("int8", {"same_decisions": {"findings": 1.1}}, "less than or equal to 1"),
        ("int8", {"heads": {}}, "heads"),
    ],
)
def test_a_variant_that_violates_the_schema_is_refused(
    precision: str, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidVersion, match=reason):
        read(files=INT8_FILES, variants={precision: {**INT8, **changes}})


def test_tasks_and_heads_keep_their_order() -> None:
    spec = {"file": "trunk.onnx", "inputs": ["global_features"], "labels": [{"name": "x"}]}
    heads = {
        "late": {"kind": "segment", **spec},
        "b": {"kind": "classify", **spec},
        "a": {"kind": "classify", **spec},
    }
    manifest = read(heads=heads)
    assert manifest.tasks == (Task.CLASSIFY, Task.SEGMENT)
    assert list(manifest.heads_for(Task.CLASSIFY)) == ["b", "a"]
    assert manifest.heads_for(Task.GROUND) == {}


def test_a_manifest_file_is_read_as_bytes(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(read().to_json())
    assert ModelManifest.from_json(path.read_bytes()) == read()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mean", -5),
        ("mean", 1.01),
        ("mean", float("nan")),
        ("std", 1e-308),
        ("std", 0.009),
        ("std", 11),
        ("std", float("inf")),
        ("low_percentile", -0.1),
        ("high_percentile", float("nan")),
    ],
)
def test_preprocessing_that_makes_no_sense_is_refused(field: str, value: float) -> None:
    with pytest.raises(InvalidVersion, match=rf"preprocess\.{field}"):
        read(preprocess={field: value})


@pytest.mark.parametrize("value", [0, 1e-308, 1e-4, 1001, float("inf"), float("nan")])
def test_a_temperature_that_makes_no_sense_is_refused(value: float) -> None:
    head = {
        "kind": "classify",
        "file": "trunk.onnx",
        "inputs": ["global_features"],
        "labels": [{"name": "x"}],
        "temperature": value,
    }
    with pytest.raises(InvalidVersion, match=r"heads\.findings\.temperature"):
        read(heads={"findings": head})


RULE = {"scale": 1.5, "offset": -0.5, "threshold": 0.4, "box_threshold": 0.3}


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": -0.01},
        {"threshold": 1.01},
        {"threshold": float("nan")},
        {"box_threshold": 0},
        {"box_threshold": 1},
        {"box_threshold": float("nan")},
        {"scale": 0},
        {"scale": -1},
        {"scale": float("inf")},
        {"offset": float("nan")},
        {"max_boxes": 0},
        {"max_boxes": 101},
        {"min_boxes": 1},
    ],
)
def test_a_phrase_rule_out_of_range_is_refused(change: dict[str, float]) -> None:
    assert PhraseRule.model_validate(RULE).max_boxes == 10
    with pytest.raises(ValueError, match=next(iter(change))):
        PhraseRule.model_validate_json(json.dumps(RULE | change))


def test_only_a_ground_head_has_a_phrase_rule_and_none_is_written_without() -> None:
    head = {"kind": "ground", "file": "h.onnx", "inputs": ("a",), "method": "aligned"}
    assert "phrase_rule" not in HeadSpec.model_validate(head).model_dump()
    rule = HeadSpec.model_validate({**head, "phrase_rule": RULE}).phrase_rule
    assert rule == PhraseRule.model_validate(RULE)
    other = {**head, "kind": "classify", "method": None, "labels": [{"name": "x"}]}
    with pytest.raises(ValueError, match="only a ground head can have a phrase rule"):
        HeadSpec.model_validate({**other, "phrase_rule": RULE})


def test_a_check_head_has_checks_as_labels_and_is_no_task() -> None:
    keys = {"kind": "check", "file": "heads/checks.onnx", "inputs": ["encoder_32"]}
    head = HeadSpec.model_validate(keys | {"labels": [{"name": "mirrored"}]})
    assert head.kind == CHECK
    assert head.outputs == {"logits"}
    with pytest.raises(ValidationError, match="labels of a check head are lateral, mirrored"):
        HeadSpec.model_validate(keys | {"labels": [{"name": "blurred"}]})
    with pytest.raises(ValidationError, match="labels"):
        HeadSpec.model_validate(keys)
