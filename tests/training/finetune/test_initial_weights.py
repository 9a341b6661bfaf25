"""Initial weights of a fine-tuning."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from radiograph.preprocess import PreprocessSpec
from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.decoder_runs import changed, decoder_config
from training.config.finetune import FinetuneConfig
from training.engine.checkpoint import read_checkpoint
from training.engine.seeding import seed_everything
from training.finetune.finetune import finetune
from training.finetune.initial_weights import load_pretrained, repeated_rows
from training.model.attention_pool import resized_positions

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


@pytest.mark.parametrize("size_px", [32, 96])
def test_a_pre_training_of_another_size_is_fine_tuned_with_resized_positions(
    config: FinetuneConfig, pretrained_step: Path, size_px: int
) -> None:
    """The pre-training is of 64 px."""
    sized = changed(config, preprocess=PreprocessSpec(size_px=size_px))
    weights, side = load_pretrained(sized).state_dict(), size_px // 32
    before = _weights(pretrained_step)
    name = "g2d.attnpool.positional_embedding"
    torch.testing.assert_close(weights[name], resized_positions(before[name], (2, 2), (side, side)))
    assert all(torch.equal(before[k], weights[k]) for k in before if k != name)


def test_a_fine_tuning_of_another_size_is_trained_further_but_not_resumed(
    finetuned: Path, text_encoder: Path, tmp_path: Path
) -> None:
    config = tiny_runs.finetune_config(tmp_path / "data", tiny_runs.model_config(text_encoder))
    larger = changed(config, preprocess=PreprocessSpec(size_px=96), start_from=finetuned)
    state = load_pretrained(larger).state_dict()
    assert len(state["g2d.attnpool.positional_embedding"]) == 10
    heads = {name: value for name, value in _weights(finetuned).items() if "heads." in name}
    assert heads
    assert all(torch.equal(state[name], value) for name, value in heads.items())
    run = tmp_path / "run"
    finetune(config, run, tmp_path / "cache")
    with pytest.raises(ValueError, match="run of another configuration"):
        finetune(changed(config, preprocess=PreprocessSpec(size_px=96)), run, tmp_path / "cache")


def test_a_run_that_would_repeat_the_batches_of_its_start_is_told(
    config: FinetuneConfig, tmp_path: Path
) -> None:
    """The loss of such a run falls because it has seen its images, in the same augmentation."""
    start = finetune(config, tmp_path / "first", tmp_path / "cache")
    again = changed(config, start_from=start)
    assert "repeats its batches" in (repeated_rows(again) or "")
    assert repeated_rows(changed(again, seed=config.seed + 1)) is None
    assert repeated_rows(config) is None
