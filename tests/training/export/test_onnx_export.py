"""Export of a fine-tuned run to ONNX files that agree with PyTorch."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from radiograph.errors import PublishRefused
from tests.builders.training.runs.tiny_runs import SIZE_PX
from training.engine.checkpoint import CHECKPOINT
from training.evaluation.trained_model import TrainedModel, load_run
from training.export import onnx_export as export_module
from training.export.onnx_export import export
from training.export.parity import TOLERANCE, onnx_outputs

HEADS = {"anatomy", "boxes", "findings", "regions", "similarity"}


@pytest.fixture
def model(finetuned: Path) -> TrainedModel:
    """The run, in evaluation mode."""
    return load_run(finetuned)


def test_a_run_writes_its_losses(finetuned: Path) -> None:
    lines = (finetuned.parent / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]
    parts = {"findings", "anatomy", "centres", "edges", "regions", "presence", "vla", "total"}
    assert parts <= set(json.loads(lines[-1]))
    assert finetuned.name == CHECKPOINT


def test_onnx_answers_as_pytorch_does(model: TrainedModel, tmp_path: Path) -> None:
    exported = export(model, tmp_path)
    assert max(exported.parity.values()) <= TOLERANCE
    assert {path.stem for path in (tmp_path / "heads").iterdir()} == HEADS
    assert set(exported.head_inputs) == HEADS
    given = {*exported.trunk_outputs, "phrase_features"}
    assert all(set(names) <= given for names in exported.head_inputs.values())
    assert (tmp_path / "tokenizer.json").is_file()


def test_the_exported_files_reproduce_the_golden_outputs(
    model: TrainedModel, tmp_path: Path
) -> None:
    export(model, tmp_path)
    with np.load(tmp_path / "golden.npz") as golden:
        stored = {name: golden[name] for name in golden.files}
    feeds = {name: stored.pop(name) for name in ("image", "input_ids", "attention_mask")}
    assert feeds["image"].shape == (1, 1, SIZE_PX, SIZE_PX)
    found = onnx_outputs(tmp_path, feeds)
    assert set(found) == set(stored)
    assert max(np.abs(found[name] - stored[name]).max() for name in stored) <= TOLERANCE


def test_a_difference_above_the_tolerance_is_refused(model: TrainedModel, tmp_path: Path) -> None:
    with pytest.raises(PublishRefused, match="differs from PyTorch"):
        export(model, tmp_path, tolerance=0.0)


def test_a_changed_weight_is_refused(
    model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(graph: onnx.ModelProto, embedding_rows: int | None = None) -> onnx.ModelProto:
        for tensor in graph.graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2:
                values = numpy_helper.to_array(tensor) + np.float32(0.05)
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        return graph

    monkeypatch.setattr(export_module, "compress_weights", spoil)
    with pytest.raises(PublishRefused, match="differs from PyTorch"):
        export(model, tmp_path)


def test_a_graph_with_other_decisions_is_refused_at_any_tolerance(
    model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def turn(graph: onnx.ModelProto, embedding_rows: int | None = None) -> onnx.ModelProto:
        outputs = {output.name for output in graph.graph.output}
        if outputs == {"logits"}:  # findings and masks: present becomes absent, and vice versa
            for node in graph.graph.node:
                node.output[:] = ["turned" if name == "logits" else name for name in node.output]
            graph.graph.node.append(onnx.helper.make_node("Neg", ["turned"], ["logits"]))
        return graph

    monkeypatch.setattr(export_module, "compress_weights", turn)
    with pytest.raises(PublishRefused, match=r"decides otherwise.*anatomy: Left lung in "):
        export(model, tmp_path, tolerance=1e6)
