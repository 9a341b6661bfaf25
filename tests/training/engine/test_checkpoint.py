"""Checkpoints: what they keep, and when a run may resume from one."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning.fabric.plugins import MixedPrecision

from tests.builders.engine.tiny_engine import Killed, kill_at, plan_of, read_history, train
from training.engine.checkpoint import CHECKPOINT, preferred_checkpoint
from training.engine.model_selection import BEST


def test_a_run_of_another_configuration_is_not_resumed(tmp_path: Path) -> None:
    train(plan_of(tmp_path))
    with pytest.raises(ValueError, match="another configuration"):
        train(plan_of(tmp_path, config='{"seed": 1}'))


def test_a_run_resumes_if_a_step_sees_as_many_rows(tmp_path: Path) -> None:
    before = replace(plan_of(tmp_path), rows=6, accumulate=1)
    with pytest.raises(Killed):
        train(before, kill_at(5))
    with pytest.raises(ValueError, match=r"saw 6 rows .* would now see 4 \(1 x 2\)"):
        train(replace(before, rows=2, accumulate=2))
    train(replace(before, rows=3, accumulate=2))
    assert [step for step, _ in read_history(tmp_path)] == [2, 4, 6, 8]


def test_the_best_checkpoint_is_preferred_to_the_last(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).touch()
    assert preferred_checkpoint(tmp_path) == tmp_path / CHECKPOINT
    (tmp_path / BEST).touch()
    assert preferred_checkpoint(tmp_path) == tmp_path / BEST


def _half_precision() -> MixedPrecision:
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=2.0**40))


def test_the_scale_of_half_precision_is_restored(tmp_path: Path) -> None:
    """Gradients times 2^40 overflow half precision until the scale was halved often enough."""
    whole, killed = plan_of(tmp_path / "whole"), plan_of(tmp_path / "killed")
    weights = train(whole, plugin=_half_precision())
    with pytest.raises(Killed):
        train(killed, kill_at(5), plugin=_half_precision())
    again = train(killed, plugin=_half_precision())
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    scaler = torch.load(killed.folder / CHECKPOINT, weights_only=True)["scaler"]
    assert scaler["scale"] < 2.0**40
