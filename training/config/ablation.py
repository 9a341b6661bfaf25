"""Configuration of the ablation: arms that are pre-trained, and the probes that compare them."""

from typing import Literal

from pydantic import Field

from radiograph.strict_model import StrictModel
from training.config.finetune import Fraction
from training.config.pretrain import PretrainConfig

Arm = Literal["random", "imagenet", "none", "pseudo", "shuffled"]


class ProbeConfig(StrictModel):
    """A head trained on features of a frozen encoder; AdamW at a constant rate."""

    tables: tuple[str, ...]
    """Each is trained and measured on its own: sets differ in source."""
    steps: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    lr: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    choose_every: int = Field(ge=1)
    """Steps between two looks at the validation split; the best one is kept."""
    choose_on: int | None = Field(default=None, ge=1)
    """At most so many validation images, evenly spread; null is all."""


class AblationConfig(StrictModel):
    """Arms that differ in their pre-training alone, then probes at fractions of the labels."""

    kind: Literal["ablation"]
    pretrain: PretrainConfig
    """What the pre-trained arms share. Seed and decoder loss are each arm's own."""
    arms: tuple[Arm, ...]
    """`random` and `imagenet` are not pre-trained; `imagenet` is where the others start."""
    seeds: tuple[int, ...] = Field(min_length=1)
    """Each seeds pre-training, the choice of the labels and the start of the heads."""
    fractions: tuple[Fraction, ...] = (0.01, 0.1, 1.0)
    """Of the labelled training patients."""
    segment: ProbeConfig
    """Lungs; the decoder is trained."""
    classify: ProbeConfig
    """Pneumonia; a linear layer is trained."""
