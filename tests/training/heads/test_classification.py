"""Exclusive findings: their logits and their loss."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from tests.builders.training.runs.decoder_runs import UNCHANGED, cache_of, changed, decoder_config
from training.config.finetune import FinetuneConfig
from training.data.sampling.sampler import MicroBatchIndex
from training.finetune.finetune import FinetuneTask
from training.heads.classification import one_against_rest


@pytest.fixture
def config(pretrained_step: Path, tmp_path: Path) -> FinetuneConfig:
    """A decoder and a head on a frozen encoder; half of the rows are for validation."""
    return decoder_config(pretrained_step, tmp_path / "tables")


def test_sigmoids_of_exclusive_logits_are_the_softmax() -> None:
    scores = torch.tensor([[2.0, -1.0, 0.5], [80.0, -80.0, 0.0]])
    assert torch.allclose(one_against_rest(scores).sigmoid(), scores.softmax(dim=1))


def test_the_loss_of_exclusive_findings_is_their_softmax_cross_entropy(
    config: FinetuneConfig, tmp_path: Path
) -> None:
    # a radiograph of the miniature table is bacterial or not pneumonia at all
    labels = {"masks": (), "findings": ("Pneumonia", "Viral pneumonia"), "exclusive": True}
    exclusive = changed(config, **labels, freeze_trunk=True)
    task = FinetuneTask(exclusive, cache_of(exclusive, tmp_path))
    batch = task.batch([0, 2], range(2), UNCHANGED, 0, 0)
    task.module.eval()
    loss = task.losses(task.module, batch, MicroBatchIndex(0))["findings"]
    features = task.module.features(batch.images())["global_features"]
    scores = task.module.heads["findings"].linear(features)  # type: ignore[operator]
    assert loss.item() == pytest.approx(F.cross_entropy(scores, torch.tensor([0, 0])).item())


def test_a_single_exclusive_finding_is_refused(config: FinetuneConfig) -> None:
    with pytest.raises(ValidationError, match="two findings or more"):
        changed(config, findings=("Pneumonia",), exclusive=True)
