"""The number of the step that the model sees; it is a constant of a compiled step."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from radiograph.preprocess import PreprocessSpec
from tests.builders.training.parts.tiny_objective import config_of
from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.tiny_runs import SIZE_PX
from training.data.cache.cache import open_cache
from training.data.sampling.sampler import MicroBatchIndex
from training.pretrain.pretrain import PretrainTask


def test_the_number_stays_once_the_loss_of_the_decoder_counts(
    text_encoder: Path, tmp_path: Path
) -> None:
    config = config_of(text_encoder, decoder_loss_from_step=2)
    data, spec = tiny_runs.write_kermany(tmp_path), PreprocessSpec(size_px=SIZE_PX)
    config = config.model_copy(update={"data": data, "preprocess": spec})
    task = PretrainTask(config, open_cache(data, spec, tmp_path / "cache"), tmp_path)
    pairs, seen = task.loader(1)(MicroBatchIndex(0)), []

    def model(_images: Tensor, _tokens: Any, _ids: Any, step: int, _said: Any) -> dict[str, Tensor]:
        seen.append(step)
        return {"total": torch.zeros(())}

    for step in (0, 1, 2, 3, 90):
        task.losses(model, pairs, MicroBatchIndex(step))
    assert seen == [0, 1, 2, 2, 2]
