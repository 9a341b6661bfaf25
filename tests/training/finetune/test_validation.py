"""Validation of a fine-tuning: its rows and its criteria."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from tests.builders.training.runs.decoder_runs import cache_of, changed, decoder_config
from training.config.finetune import ChooseConfig, FinetuneConfig
from training.engine.checkpoint import CHECKPOINT
from training.engine.model_selection import BEST
from training.evaluation.trained_model import load_run
from training.finetune.finetune import FinetuneTask, finetune


@pytest.fixture
def config(pretrained_step: Path, tmp_path: Path) -> FinetuneConfig:
    """A decoder and a head on a frozen encoder; half of the rows are for validation."""
    return decoder_config(pretrained_step, tmp_path / "tables")


@pytest.mark.parametrize("by", ["loss", "auroc", "dice", "ap50"])
def test_every_criterion_keeps_a_checkpoint_that_loads(
    config: FinetuneConfig, tmp_path: Path, by: str
) -> None:
    heads = {"findings": ("Pneumonia",), "boxes": ("Left lung",)}
    choosing = changed(config, **heads, choose=ChooseConfig.model_validate({"by": by, "every": 1}))
    done = finetune(choosing, tmp_path / "run", tmp_path / "cache")
    assert done == tmp_path / "run" / BEST
    assert (tmp_path / "run" / CHECKPOINT).is_file()
    model = load_run(tmp_path / "run")
    kept, best = model.module.state_dict(), torch.load(done, weights_only=True)["model"]
    assert torch.allclose(kept["heads.anatomy.conv.bias"], best["heads.anatomy.conv.bias"])


def test_validation_uses_labelled_rows_spread_evenly(
    config: FinetuneConfig, tmp_path: Path
) -> None:
    choosing = changed(config, choose={"by": "dice", "every": 1, "limit": 2})
    task = FinetuneTask(choosing, cache_of(choosing, tmp_path))
    assert task.validation_rows == [4, 6]
    assert 0.0 <= task.validate() <= 1.0


def test_a_criterion_without_a_head_or_a_labelled_row_is_refused(
    config: FinetuneConfig, tmp_path: Path
) -> None:
    with pytest.raises(ValidationError, match="needs a head"):
        changed(config, choose={"by": "auroc", "every": 1})
    unlabelled = changed(config, masks=("Cardiomediastinum",), choose={"by": "dice", "every": 1})
    with pytest.raises(ValueError, match="no validation row"):
        _ = FinetuneTask(unlabelled, cache_of(unlabelled, tmp_path)).validation_rows
