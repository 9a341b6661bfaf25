"""A step of fine-tuning never asks the device for a value: the host would wait for it."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from tests.builders.training.parts.no_waiting import Waited, no_blocking_copies, no_waiting
from tests.builders.training.runs import tiny_runs
from training.config.engine import EngineConfig
from training.config.finetune import Detector, FinetuneConfig
from training.data.batches.prefetch import each_tensor
from training.data.cache.cache import open_cache
from training.data.sampling.sampler import MicroBatchIndex
from training.engine.checkpoint import Plan
from training.engine.distributed import launch
from training.engine.history import History
from training.engine.optimisation.optimiser import set_up
from training.engine.trainer import Trainer, batches_from
from training.finetune.finetune import FinetuneTask


def _config(text: Path, folder: Path, detector: Detector) -> FinetuneConfig:
    whole = tiny_runs.finetune_config(folder, tiny_runs.model_config(text))
    engine = EngineConfig(accelerator="cpu", workers=0)
    return whole.model_copy(update={"detector": detector, "engine": engine})


@pytest.mark.parametrize("detector", get_args(Detector))
def test_a_step_with_every_head_clipping_and_the_history_does_not_wait(
    text_encoder: Path, tmp_path: Path, detector: Detector
) -> None:
    config = _config(text_encoder, tmp_path / "data", detector)
    task = FinetuneTask(config, open_cache(config.data, config.preprocess, tmp_path / "cache"))
    assert set(task.module.trained_heads) == {"findings", "anatomy", "boxes", "regions"}
    fabric = launch(config.engine, config.precision)
    model, optimiser = set_up(fabric, task.module, config.optimiser, config.engine)
    plan = Plan(tmp_path, 2, 100, seed=0, config="{}", rows=4)
    trainer = Trainer(
        fabric, model, optimiser, task, plan, config.optimiser, config.engine, selector=None
    )
    batches = iter(list(batches_from(fabric, task, plan, config.engine, 0)))  # loaded before
    history = History(fabric, tmp_path, [], 4, scaled=False)
    assert config.optimiser.clip_norm
    with no_waiting():
        for step in (0, 1):
            trainer.step(step, batches, history)
    history.write(2, 0.1)  # refuses losses that are not finite
    assert all(torch.isfinite(weight).all() for weight in task.module.parameters())


@pytest.mark.parametrize(
    "copy",
    [
        lambda x: torch.zeros(2).to(x.device),
        lambda x: torch.tensor([1.0, 2.0], device=x.device),
        lambda x: x.new_tensor([1.0, 2.0]),
        lambda x: x.copy_(torch.zeros(2)),
    ],
)
def test_a_copy_that_waits_is_noticed(copy: Any) -> None:
    x = torch.zeros(2, device="meta")
    with pytest.raises(Waited), no_blocking_copies():
        copy(x)
    with no_blocking_copies():
        assert torch.zeros(2).to("meta", non_blocking=True).device.type == "meta"


@pytest.mark.parametrize("detector", get_args(Detector))
def test_the_losses_of_every_head_copy_nothing_that_waits(
    text_encoder: Path, tmp_path: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device is `meta`, whose tensors have no content."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # knows no such device
    config = _config(text_encoder, tmp_path / "data", detector)
    task = FinetuneTask(config, open_cache(config.data, config.preprocess, tmp_path / "cache"))
    module = task.module.to("meta")
    index = MicroBatchIndex(0)
    batch = each_tensor(task.loader(1)(index), lambda x: Tensor.to(x, "meta"))
    with no_blocking_copies():
        task.losses(module, batch, index)["total"].backward()
