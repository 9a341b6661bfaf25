"""Whole runs in processes of their own: killed with SIGKILL, and shared by two."""

import json
import signal
import sys
from pathlib import Path

import pytest
import torch

from radiograph.preprocess import PreprocessSpec
from tests.builders.distributed.run_of_pairs import run
from tests.builders.distributed.started_runs import start_pair_run
from tests.builders.distributed.torchrun import torchrun
from tests.builders.training.runs import tiny_runs
from training.config.augmentation import AugmentConfig
from training.config.engine import EngineConfig
from training.config.pretrain import PretrainConfig
from training.engine.checkpoint import CHECKPOINT, read_checkpoint
from training.engine.history import HISTORY, TIMES

STILL = AugmentConfig(rotate_deg=0, translate=0, scale=0, gamma=0, contrast=0, noise=0)


@pytest.fixture(scope="module", params=["computed", "kept"])
def config(
    request: pytest.FixtureRequest, text_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> PretrainConfig:
    """Six steps of eight rows sorted by length, with a checkpoint after every second step.

    With `kept`, the output of the frozen text layers is computed once.
    """
    kept, model = request.param == "kept", tiny_runs.model_config(text_encoder)
    folder = tmp_path_factory.mktemp("tables")
    text = model.text.model_copy(update={"frozen_dropout": not kept})
    return PretrainConfig(
        kind="pretrain",
        epochs=3,
        batch_size=8,
        checkpoint_every=2,
        preprocess=PreprocessSpec(size_px=tiny_runs.SIZE_PX),
        data=tiny_runs.write_reports(folder, 16) if kept else tiny_runs.write_kermany(folder, 16),
        model=model.model_copy(update={"text": text}),
        frozen_text_gb=float(kept),
        same_text_is_positive=True,
        engine=EngineConfig(accelerator="cpu", bucket=2, log_every=1),
    )


def _history(folder: Path) -> list[dict[str, float]]:
    lines = map(json.loads, (folder / "run" / HISTORY).read_text().splitlines())
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


def test_a_run_killed_between_checkpoints_has_the_losses_of_one_that_ran_through(
    config: PretrainConfig, tmp_path: Path
) -> None:
    run(config, tmp_path / "whole" / "run", tmp_path / "cache")
    killed = tmp_path / "killed"
    status, said = start_pair_run([sys.executable], config, killed, "--kill-at", "3")
    assert status == -signal.SIGKILL, said
    assert [line["step"] for line in _history(killed)] == [1, 2, 3]  # the third is beyond
    run(config, killed / "run", tmp_path / "cache")
    assert _history(killed) == _history(tmp_path / "whole")
    whole, again = (
        read_checkpoint(tmp_path / name / "run" / CHECKPOINT).weights
        for name in ("whole", "killed")
    )
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_two_processes_have_the_losses_of_one_with_the_joined_batch(
    config: PretrainConfig, tmp_path: Path
) -> None:
    still = config.model_copy(update={"augment": STILL})
    run(still, tmp_path / "one" / "run", tmp_path / "cache", fixed=True)
    halved = still.model_copy(update={"batch_size": still.batch_size // 2})
    status, said = start_pair_run(torchrun(), halved, tmp_path / "two", "--fixed")
    assert status == 0, said
    one, two = _history(tmp_path / "one"), _history(tmp_path / "two")
    assert [line["step"] for line in two] == [1, 2, 3, 4, 5, 6]
    for alone, joined in zip(one[:2], two[:2], strict=True):  # as written, with five digits
        assert joined == pytest.approx(alone, rel=5e-4)
    for alone, joined in zip(one, two, strict=True):  # AdamW makes rounding grow
        assert joined["total"] == pytest.approx(alone["total"], rel=1e-3)
    position = torch.load(tmp_path / "two" / "run" / CHECKPOINT, weights_only=True)["position"]
    assert position == {
        "step": 6, "world": 2, "joined": 8, "accumulate": 1, "rows_of_step": 8, "rows_seen": 48,
    }  # fmt: skip
