"""Miniature checkpoints in the layout of the released G2D code, and the run that reads them."""

from pathlib import Path

import torch
from torch import Tensor

from radiograph.preprocess import PreprocessSpec
from tests.builders.training import tiny_runs
from training.checkpoint_conversion.layout import Layout
from training.checkpoint_conversion.to_released import to_released
from training.config.pretrain import PretrainConfig
from training.config.run import DataConfig
from training.engine import seeding
from training.model.g2d import G2D


def config_for(text: Path, root: Path = Path("nowhere")) -> PretrainConfig:
    """Four heads of 16 channels, as the released code has four of 128."""
    model = tiny_runs.model_config(text).model_copy(update={"attention_heads": 4})
    return PretrainConfig(
        kind="pretrain",
        epochs=1,
        batch_size=4,
        model=model,
        preprocess=PreprocessSpec(size_px=tiny_runs.SIZE_PX),
        data=DataConfig(root=root, tables=("none",)),
    )


def weights(config: PretrainConfig, layout: Layout) -> dict[str, Tensor]:
    """A state dict of the model that is unlike any fresh one; what is not read is random too."""
    seeding.seed_everything(99)
    model = G2D(config.model, config.preprocess.size_px)
    state, _ = to_released(model.state_dict(), layout, {})
    return {name: _moved(value) for name, value in state.items()}


def _moved(value: Tensor) -> Tensor:
    return value + 0.01 * torch.rand(value.shape) if value.is_floating_point() else value + 7


def save(state: object, path: Path) -> Path:
    """Write it as the released code does."""
    torch.save(state, path)
    return path
