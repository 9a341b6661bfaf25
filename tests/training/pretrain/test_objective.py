"""The objective of pre-training: targets of the pseudo segmentation."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from radiograph.preprocess import PreprocessSpec
from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.tiny_runs import SIZE_PX
from training.config.pretrain import PretrainConfig
from training.engine import seeding
from training.model.text_encoder import Tokens
from training.pretrain.objective import Pretraining


def test_shuffled_masks_are_those_of_other_images(
    text_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PretrainConfig(
        kind="pretrain",
        epochs=1,
        batch_size=8,
        preprocess=PreprocessSpec(size_px=SIZE_PX),
        data=tiny_runs.write_kermany(tmp_path),
        model=tiny_runs.model_config(text_encoder),
    )
    targets: list[Tensor] = []

    def target(attention: Tensor, images: Tensor, **_: object) -> Tensor:
        """Each image's mask is filled with its place in the batch."""
        return torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, SIZE_PX, SIZE_PX) / 4

    def loss(logits: Tensor, mask: Tensor) -> Tensor:
        targets.append(mask[:, 0, 0, 0] * 4)
        return logits.mean()

    module = Pretraining.__module__
    monkeypatch.setattr(f"{module}.pseudo_mask", target)
    monkeypatch.setattr(f"{module}.pseudo_alignment_loss", loss)
    _forward(config)
    _forward(config.model_copy(update={"shuffle_masks": True}))
    assert targets[0].tolist() == [0, 1, 2, 3]
    assert sorted(targets[1].tolist()) == [0, 1, 2, 3]
    assert all(a != b for a, b in zip(*map(Tensor.tolist, targets), strict=True))


def _forward(config: PretrainConfig) -> None:
    seeding.seed_everything(0)
    ids = torch.randint(5, 20, (4, 6))
    images = torch.rand(4, 1, SIZE_PX, SIZE_PX)
    Pretraining(config)(images, Tokens(ids, torch.ones_like(ids)), None, 0)
