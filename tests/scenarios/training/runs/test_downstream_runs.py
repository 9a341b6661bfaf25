"""Whole fine-tunings on a frozen encoder."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.decoder_runs import cache_of, changed, decoder_config
from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.data.sampling.row_selection import training_pool
from training.engine.checkpoint import read_checkpoint
from training.evaluation.trained_model import never_aligned
from training.finetune.finetune import finetune
from training.finetune.past_runs import PastRun

ENCODER, DECODER = "g2d.img_model.encoder.", "g2d.img_model.decoder."


@pytest.fixture
def config(pretrained_step: Path, tmp_path: Path) -> FinetuneConfig:
    """A decoder and a head on a frozen encoder; half of the rows are for validation."""
    return decoder_config(pretrained_step, tmp_path / "tables")


def _weights(path: Path) -> dict[str, Tensor]:
    return read_checkpoint(path).weights


def test_a_frozen_encoder_keeps_its_weights_and_the_decoder_learns(
    config: FinetuneConfig, pretrained_step: Path, tmp_path: Path
) -> None:
    before = _weights(pretrained_step)
    after = _weights(finetune(config, tmp_path / "run", tmp_path / "cache"))
    assert all(torch.equal(before[k], after[k]) for k in before if not k.startswith(DECODER))
    moved = [k for k in before if k.startswith(DECODER) and not torch.equal(before[k], after[k])]
    assert any(name.endswith("running_mean") for name in moved)
    assert any(name.endswith("weight") for name in moved)


def test_alignment_is_lost_once_a_run_trains_the_encoder_without_reports(
    config: FinetuneConfig, pretrained_step: Path
) -> None:
    first = PastRun(
        PretrainConfig.model_validate_json(read_checkpoint(pretrained_step).config), "c"
    )
    frozen = PastRun(config, "c")
    alone = PastRun(changed(config, freeze_encoder=False, keep_alignment=False), "c")
    kept = PastRun(changed(config, freeze_encoder=False, keep_alignment=True), "c")
    assert never_aligned((first, frozen)) is None
    assert "without the image-report loss" in str(never_aligned((first, alone, frozen)))
    assert never_aligned((first, alone, kept)) is None
    assert "no run has aligned" in str(never_aligned((alone,)))


def test_fractions_are_nested_and_contain_labelled_rows_only(
    config: FinetuneConfig, tmp_path: Path
) -> None:
    root = tmp_path / "many"
    data = tiny_runs.write_kermany(root, count=40)
    named = config.model_copy(update={"data": data})
    cache = cache_of(named, tmp_path)
    pools = [
        set(training_pool(cache, named.model_copy(update={"fraction": f}))) for f in (0.1, 0.5, 1)
    ]
    assert pools[0] < pools[1] < pools[2] == set(range(40))
    boxes = changed(named, masks=(), boxes=("Lung opacity",), fraction=1.0)
    normal = {i for i in range(40) if i % 2}
    assert set(training_pool(cache, boxes)) == normal | {0}  # one is drawn; the rest is unknown


def test_a_fraction_without_any_label_is_refused(config: FinetuneConfig, tmp_path: Path) -> None:
    nothing = changed(config, masks=("Cardiomediastinum",), fraction=1.0)
    with pytest.raises(ValueError, match="no training row has a label"):
        training_pool(cache_of(config, tmp_path), nothing)
