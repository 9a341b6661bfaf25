"""Variants of an export: calibrated, measured, written or refused."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from radiograph.errors import PublishRefused
from tests.builders.g2d.command_line import failed, g2d
from tests.builders.training.runs import split_runs
from tests.builders.training.runs.evaluated_runs import write_evaluated
from training.data.rows.dataset_files import DataError
from training.evaluation.assessment import RunFolder, read_assessment
from training.evaluation.trained_model import TrainedModel
from training.export.onnx_export import read_export
from training.export.parity import onnx_outputs
from training.export.variants import variants
from training.export.variants.calibration_images import calibration_images
from training.export.variants.drift import Comparison
from training.export.variants.variants import VariantPlan, VariantWriter


@pytest.fixture(scope="module")
def model(evaluated_run: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return split_runs.with_validation(evaluated_run, tmp_path_factory.mktemp("split"))


@pytest.fixture(scope="module")
def exported(model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was evaluated and exported without a variant."""
    return write_evaluated(model, tmp_path_factory.mktemp("exported") / "run").path


@pytest.fixture
def run(exported: Path, tmp_path: Path) -> RunFolder:
    """A copy of the run that a test may change."""
    return RunFolder(shutil.copytree(exported, tmp_path / "run"))


def test_float16_is_written_with_drift_and_golden_outputs_of_its_own(
    model: TrainedModel, run: RunFolder
) -> None:
    # Any loss is accepted: with eight images, each near tie that turns is 0.0625 of an AUROC.
    plan = VariantPlan(("float16",), 4, largest_loss=1.0)
    (line,) = VariantWriter.prepare(model, run, plan).write(read_export(run))
    assert line.startswith("float16 written: no calibration")
    spec = read_export(run).variants["float16"]
    assert {drift.metric for drift in spec.drift} >= {"auroc", "dice"}
    most = {"dice": 0.05}
    assert all(abs(d.float32 - d.value) <= most.get(d.metric, 0.13) for d in spec.drift)
    assert min(spec.same_decisions.values()) > 0.9
    with np.load(run.export / spec.golden.file) as file:
        recorded = dict(file)
    assert "trunk.decoder_1" not in recorded
    found = onnx_outputs(run.export, recorded, spec.trunk)
    assert np.array_equal(found["anatomy.logits"], recorded["anatomy.logits"])
    exact = onnx_outputs(run.export, recorded)["anatomy.logits"]
    assert 0 < np.abs(exact - recorded["anatomy.logits"]).max() <= spec.golden.tolerance


def test_int8_is_tried_with_more_and_more_parts_in_float32(
    model: TrainedModel, run: RunFolder
) -> None:
    writer = VariantWriter.prepare(model, run, VariantPlan(("int8",), 4))
    *lines, last = writer.write(read_export(run))
    assert lines or last.startswith("int8 written")
    assert all("ranges of activations by 4 images" in line for line in [*lines, last][:1])
    exported = read_export(run)
    if "int8" not in exported.variants:
        assert last == "int8: no variant is written; the export in float32 is complete"
        return
    graph = onnx.load(run.export / exported.variants["int8"].trunk)
    kinds = {item.data_type for item in graph.graph.initializer if len(item.dims) == 4}
    assert TensorProto.INT8 in kinds


def _spoiled(trunk: Path) -> onnx.ModelProto:
    """Return the trunk with all its outputs 0."""
    graph = onnx.load(trunk)
    for output in graph.graph.output:
        for node in graph.graph.node:
            node.output[:] = [f"{x}.exact" if x == output.name else x for x in node.output]
            node.input[:] = [f"{x}.exact" if x == output.name else x for x in node.input]
        graph.graph.node.append(
            helper.make_node("Sub", [f"{output.name}.exact"] * 2, [output.name])
        )
    return graph


def test_a_variant_that_answers_worse_is_not_written(
    model: TrainedModel, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forged(self: VariantWriter, trunk: Path) -> Iterator[tuple[str, onnx.ModelProto]]:
        yield "forged", _spoiled(trunk)

    monkeypatch.setattr(VariantWriter, "_int8", forged)
    done = read_assessment(run)
    heads = split_runs.drawing_only_what_is_seen(model, done.heads)
    run.assessment.write_text(done.model_copy(update={"heads": heads}).model_dump_json())
    before = {path: path.read_bytes() for path in run.export.rglob("*.onnx")}
    writer = VariantWriter.prepare(model, run, VariantPlan(("int8",), 4))
    refused, last = writer.write(read_export(run))
    assert refused.startswith("int8 refused: forged; ")
    assert "dice: " in refused
    assert last == "int8: no variant is written; the export in float32 is complete"
    assert read_export(run).variants == {}
    assert {path: path.read_bytes() for path in run.export.rglob("*.onnx")} == before


def test_images_of_the_calibration_are_counted_by_data_set(model: TrainedModel) -> None:
    images = calibration_images(model, 5)
    assert str(images) == "5 images of the training split (5 of kermany_224)"
    assert calibration_images(model, 100).counts == {"kermany_224": 8}


def test_without_training_images_nothing_is_calibrated(
    evaluated_run: TrainedModel, run: RunFolder, tmp_path: Path
) -> None:
    empty = split_runs.with_validation(evaluated_run, tmp_path / "data", train=0)
    with pytest.raises(DataError, match="no image of the training split can be read"):
        VariantWriter.prepare(empty, run, VariantPlan(("int8",), 4))


def test_a_run_that_was_not_evaluated_as_it_is_has_no_variants(
    model: TrainedModel, run: RunFolder
) -> None:
    other = read_assessment(run).model_copy(update={"weights": "0" * 64})
    run.assessment.write_text(other.model_dump_json())
    with pytest.raises(PublishRefused, match="g2d evaluate"):
        VariantWriter.prepare(model, run, VariantPlan(("float16",), 4))
    run.assessment.unlink()
    with pytest.raises(PublishRefused, match="was not evaluated"):
        VariantWriter.prepare(model, run, VariantPlan(("float16",), 4))


def test_the_command_refuses_a_run_without_thresholds_before_it_writes(
    finetuned: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(finetuned.parent, tmp_path / "run")
    failed(g2d("export", str(folder), "--int8"), "was not evaluated: g2d evaluate", code=4)
    assert not (folder / "export").exists()


def test_a_variant_that_fails_on_few_images_is_not_measured_on_all(
    model: TrainedModel, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[int | None] = []

    def refuse(*arguments: object) -> object:
        limits.append(arguments[3])  # type: ignore[arg-type]
        return replace(NOTHING, refusals=("worse",))

    monkeypatch.setattr(variants, "compare", refuse)
    writer = VariantWriter.prepare(model, run, VariantPlan(("float16",), 4))
    first, _ = writer.write(read_export(run))
    assert first.endswith("; worse")
    assert limits == [variants.SCREENED]


NOTHING = Comparison((), {}, ())
