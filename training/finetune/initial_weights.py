"""Initial weights of a fine-tuning: those of a pre-training, and of an earlier fine-tuning."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from training.config.finetune import FinetuneConfig
from training.config.model import ModelConfig
from training.config.pretrain import PretrainConfig
from training.engine.checkpoint import read_run
from training.finetune.module import Finetuning
from training.model.image_encoder import restart_decoder
from training.refusal import RunRefused

DEFAULT_TEMPERATURE = 0.07
"""Sigma of the contrastive loss of a run that starts without a pre-training."""


def load_pretrained(config: FinetuneConfig) -> Finetuning:
    """Build the module and load its initial weights.

    The trunk comes from the pre-training, then trunk and heads from the earlier fine-tuning.
    Heads that the earlier fine-tuning lacks, or has for other labels, keep their fresh weights.

    Raises:
        RunRefused: neither a pre-training nor a model is configured, or a checkpoint is not one
            of its kind or does not fit.
    """
    start = config.start_from
    earlier = read_run(start, FinetuneConfig, "start_from")[0].weights if start else {}
    if config.pretrained is None:
        if config.model is None:
            raise RunRefused("a fine-tuning needs `pretrained` or `model`")
        module = Finetuning(config, config.model, DEFAULT_TEMPERATURE)
    else:
        checkpoint, before = read_run(config.pretrained, PretrainConfig, "pretrained")
        module = Finetuning(config, without_start(before.model), before.temperature)
        trunk = {k.removeprefix("g2d."): v for k, v in checkpoint.weights.items()}
        with fitting("pretrained", config.pretrained):
            module.g2d.load_state_dict(trunk)
    if start:
        with fitting("start_from", start):
            _load_earlier(module, earlier)
    if config.fresh_decoder:
        restart_decoder(module.g2d.img_model.decoder)
    return module


def without_start(model: ModelConfig) -> ModelConfig:
    """Return an architecture whose encoder has no initial weights, as a checkpoint has them."""
    encoder = model.encoder.model_copy(update={"weights": None})
    return model.model_copy(update={"encoder": encoder})


@contextmanager
def fitting(key: str, path: Path) -> Iterator[None]:
    """Name the key and the checkpoint when its weights do not fit the model."""
    try:
        yield
    except RuntimeError as error:
        raise RunRefused(f"{key}: {path} does not fit the model: {error}") from error


def _load_earlier(module: Finetuning, weights: dict[str, Tensor]) -> None:
    """Load the whole trunk of an earlier fine-tuning, and the heads that fit as a whole."""
    state = module.state_dict()
    fits = {
        name
        for name in module.heads
        if all(
            key in weights and weights[key].shape == value.shape
            for key, value in state.items()
            if key.startswith(f"heads.{name}.")
        )
    }
    taken = {
        key: value
        for key, value in weights.items()
        if not key.startswith("heads.") or key.split(".")[1] in fits
    }
    trunk = {key for key in state if not key.startswith("heads.")}
    if missing := sorted(trunk - taken.keys()):
        raise RunRefused(f"start_from: its trunk is another one, without {missing[0]}")
    module.load_state_dict(taken, strict=False)
