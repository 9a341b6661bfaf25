"""The objective of pre-training on a miniature model, and one batch for it."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.builders.training.runs import tiny_runs
from tests.builders.training.runs.tiny_runs import SIZE_PX
from training.config.model import ModelConfig, TextConfig
from training.config.pretrain import PretrainConfig
from training.config.run import DataConfig
from training.model.text_encoder import Tokens, build_tokenizer, tokenize

TEXTS = ("clear lungs", "effusion", "pneumonia", "the heart is large")


def config_of(text: Path, frozen_layers: int = 0, **changes: Any) -> PretrainConfig:
    """The default recipe; `changes` are keys of the run, of its model or of the text encoder."""
    model = tiny_runs.model_config(text, frozen_layers)
    of_text = {key: changes.pop(key) for key in TextConfig.model_fields if key in changes}
    of_model = {key: changes.pop(key) for key in ModelConfig.model_fields if key in changes}
    of_model["text"] = model.text.model_copy(update=of_text)
    return PretrainConfig(
        kind="pretrain",
        epochs=1,
        batch_size=4,
        model=model.model_copy(update=of_model),
        data=DataConfig(root=Path("nowhere"), tables=("none",)),
        **changes,
    )


def batch(config: PretrainConfig) -> tuple[Tensor, Tokens, Tensor]:
    """Four images, their tokens, and ids of their texts: the first and third say the same."""
    images = torch.rand(4, 1, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(0))
    tokens = tokenize(build_tokenizer(config.model.text), TEXTS, 32)
    return images, tokens, torch.tensor([5, -3, 5, 8])
