"""Configuration of every run: its keys, checked before anything is computed.

`training.config.files` reads them from YAML.
"""

from pathlib import Path
from typing import Literal

from pydantic import (
    Field,
)

from radiograph.preprocess import PreprocessSpec
from training.config.augmentation import Augmentation, AugmentConfig
from training.config.base import Strict
from training.config.engine import EngineConfig, OptimiserConfig


class PairsConfig(Strict):
    """Which rows of the radiograph tables take part."""

    root: Path
    """Folder with `<name>.csv` and the images that it names, or `<name>.tar`."""
    tables: tuple[str, ...]
    licences: tuple[Literal["open", "noncommercial"], ...] = ("open",)
    """Rows of any other licence class are left out."""
    protocol: Literal["sound", "mgca"] = "sound"
    """Which split and rows of a downstream data set: ours, or the published one with its faults."""


class _RunConfig(Strict):
    seed: int = 0
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    """Rows in one micro-batch of one process. A step sees batch_size x processes x
    engine.accumulate."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    checkpoint_every: int = Field(default=100, ge=1)
    """Steps between two checkpoints."""
    preprocess: PreprocessSpec = PreprocessSpec()
    data: PairsConfig
    optimiser: OptimiserConfig = OptimiserConfig()
    augment: Augmentation = AugmentConfig()
    engine: EngineConfig = EngineConfig()
