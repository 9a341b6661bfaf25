"""Initial weights of a fine-tuning."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from tests.builders.training.decoder_runs import changed, decoder_config
from training.config.finetune import FinetuneConfig
from training.engine.checkpoint import read_checkpoint
from training.engine.seeding import seed_everything
from training.finetune.initial_weights import load_pretrained

ENCODER, DECODER = "g2d.img_model.encoder.", "g2d.img_model.decoder."


@pytest.fixture
def config(pretrained_step: Path, tmp_path: Path) -> FinetuneConfig:
    """A decoder and a head on a frozen encoder; half of the rows are for validation."""
    return decoder_config(pretrained_step, tmp_path / "tables")


def _weights(path: Path) -> dict[str, Tensor]:
    return read_checkpoint(path).weights


def test_a_fresh_decoder_takes_no_weights_of_the_pre_training(
    config: FinetuneConfig, pretrained_step: Path
) -> None:
    before = _weights(pretrained_step)
    seed_everything(0)
    fresh = load_pretrained(changed(config, fresh_decoder=True)).state_dict()
    convolutions = [k for k in before if k.startswith(DECODER) and k.endswith("conv1.0.weight")]
    assert convolutions
    assert not any(torch.equal(before[name], fresh[name]) for name in convolutions)
    assert all(torch.equal(before[k], fresh[k]) for k in before if k.startswith(ENCODER))


def test_the_decoder_of_a_frozen_trunk_cannot_be_fresh(config: FinetuneConfig) -> None:
    with pytest.raises(ValidationError, match="would stay random"):
        changed(config, freeze_trunk=True, fresh_decoder=True)
