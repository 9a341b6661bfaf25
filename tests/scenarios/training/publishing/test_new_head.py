"""A head that is defined in one place is trained, calibrated, exported and described."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from radiograph.manifest import Task
from tests.builders.training.runs import tiny_runs
from training.config.finetune import FinetuneConfig
from training.engine.checkpoint import read_checkpoint
from training.engine.seeding import seed_everything
from training.evaluation.calibration.calibrate import calibrate
from training.evaluation.predictions import predict_split
from training.evaluation.trained_model import load_run
from training.export.onnx_export import export
from training.export.parity import TOLERANCE
from training.finetune.finetune import finetune
from training.finetune.initial_weights import load_pretrained
from training.heads import registry
from training.heads.head import HeadsBatch, TrainableHead
from training.model.g2d import G2D

WEIGHT = "heads.lung_size.linear.weight"


class LungSizeHead(TrainableHead):
    """Large lungs, learned from the masks of the batch; the rest of the code does not know it."""

    name = "lung_size"
    kind = Task.CLASSIFY
    inputs = ("global_features",)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, 1)

    @classmethod
    def labels(cls, config: FinetuneConfig) -> tuple[str, ...]:
        return ("Large lungs",)

    @classmethod
    def build(cls, config: FinetuneConfig, g2d: G2D) -> Self:
        return cls(g2d.channels("global_features"))

    def forward(self, global_features: Tensor) -> dict[str, Tensor]:
        return {"logits": self.linear(global_features)}

    def losses(self, features: Mapping[str, Tensor], batch: HeadsBatch) -> dict[str, Tensor]:
        share = (batch.radiographs.bits != 0).float().mean(dim=(1, 2, 3)).unsqueeze(1)  # B x 1
        logits = self.outputs(features)["logits"]
        return {self.name: F.binary_cross_entropy_with_logits(logits, (share > 0.1).float())}


@pytest.fixture
def checkpoint(text_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of two steps that has the new head beside another one of its kind."""
    monkeypatch.setattr(registry, "HEADS", (*registry.HEADS, LungSizeHead))
    model = tiny_runs.model_config(text_encoder)
    config = tiny_runs.finetune_config(tmp_path / "data", model).model_copy(
        update={"masks": (), "boxes": (), "regions": False}
    )
    return finetune(config, tmp_path / "run", tmp_path / "cache")


def test_a_new_head_is_trained_and_stored_under_its_name(checkpoint: Path) -> None:
    saved = read_checkpoint(checkpoint)
    config = FinetuneConfig.model_validate_json(saved.config)
    seed_everything(config.seed)
    start = load_pretrained(config).state_dict()
    assert saved.weights[WEIGHT].shape == start[WEIGHT].shape
    assert not torch.equal(saved.weights[WEIGHT], start[WEIGHT])
    assert '"lung_size": ' in (checkpoint.parent / "history.jsonl").read_text()


def test_a_new_head_is_calibrated_by_its_kind_and_exported(
    checkpoint: Path, tmp_path: Path
) -> None:
    model = load_run(checkpoint)
    spec = calibrate(model, predict_split(model, "train", ("open",)))["lung_size"]
    assert (spec.kind, [label.name for label in spec.labels]) == (Task.CLASSIFY, ["Large lungs"])
    exported = export(model, tmp_path / "export")
    assert (tmp_path / "export" / spec.file).is_file()
    assert exported.parity["lung_size.logits"] <= TOLERANCE
