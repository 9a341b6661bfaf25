"""Miniature checkpoints in the layout of the released G2D code, and the run that reads them."""

from pathlib import Path

import torch
from torch import Tensor

from radiograph.preprocess import PreprocessSpec
from tests.builders.training.runs import tiny_runs
from training.checkpoint_conversion.from_released import Imported, import_checkpoint
from training.checkpoint_conversion.layout import Layout
from training.checkpoint_conversion.to_released import to_released
from training.config.pretrain import PretrainConfig
from training.config.run import DataConfig
from training.engine import seeding
from training.model.g2d import G2D


def config_for(text: Path, root: Path = Path("nowhere")) -> PretrainConfig:
    """Return a pre-training with 4 heads on 16 channels; the released code has 4 on 128."""
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
    """Return a state dict that differs from fresh weights in every tensor, read or not."""
    seeding.seed_everything(99)
    model = G2D(config.model, config.preprocess.size_px)
    state, _ = to_released(model.state_dict(), layout, {})
    return {name: _moved(value) for name, value in state.items()}


def _moved(value: Tensor) -> Tensor:
    return value + 0.01 * torch.rand(value.shape) if value.is_floating_point() else value + 7


def save(state: object, path: Path) -> Path:
    """Write a state as the released code does."""
    torch.save(state, path)
    return path


def import_state(config: PretrainConfig, state: object, folder: Path) -> Imported:
    """Save a state dict as the released code does, and import it as the run `folder/run`."""
    return import_checkpoint(save(state, folder / "released.pth"), config, folder / "run")


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Return whether two state dicts have the same names and values."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
