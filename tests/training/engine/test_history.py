"""The history: its lines, and when the host reads losses from the device."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.plugins import MixedPrecision
from torch import Tensor

from tests.builders.engine.tiny_engine import (
    STEPS,
    Killed,
    kill_at,
    plan_of,
    read_history,
    train,
)
from training.engine.history import HISTORY, drop_lines_after


def test_lines_after_the_last_checkpoint_are_written_anew(tmp_path: Path) -> None:
    whole, killed = (replace(plan_of(tmp_path / x), log_every=1) for x in ("whole", "killed"))
    train(whole)
    with pytest.raises(Killed):
        train(killed, kill_at(5))
    with (killed.folder / HISTORY).open("a") as file:
        file.write('{"step": 6, "tot')  # cut off by the kill
    train(killed)
    assert read_history(killed.folder) == read_history(whole.folder)


def test_lines_up_to_a_step_are_kept(tmp_path: Path) -> None:
    lines = [json.dumps({"step": step, "total": 0.5}) for step in (2, 4, 6)]
    (tmp_path / HISTORY).write_text("\n".join([*lines, "{"]) + "\n")
    drop_lines_after(tmp_path, 4)
    assert read_history(tmp_path) == [(2, 0.5), (4, 0.5)]


def test_skipped_steps_of_a_scaler_are_counted(tmp_path: Path) -> None:
    """Gradients times 2^40 overflow half precision until the scale was halved often enough."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    train(plan_of(tmp_path), plugin=MixedPrecision("16-mixed", "cpu", scaler))
    first = json.loads((tmp_path / HISTORY).read_text().splitlines()[0])
    assert first["skipped_steps"] == 2


def test_the_host_reads_losses_only_when_a_line_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    for name in ("item", "tolist", "__bool__", "__float__", "cpu", "numpy"):
        original = getattr(Tensor, name)

        def record(self: Tensor, *args: Any, name: str = name, original: Any = original) -> Any:
            read.append(name)
            return original(self, *args)

        monkeypatch.setattr(Tensor, name, record)
    train(replace(plan_of(tmp_path), checkpoint_every=STEPS))
    assert read.count("tolist") == 1
    assert not {"item", "__bool__", "__float__", "numpy"} & set(read)
