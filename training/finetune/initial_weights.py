"""Initial weights of a fine-tuning: those of a pre-training, and of an earlier fine-tuning."""

from torch import Tensor

from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.engine.checkpoint import read_checkpoint
from training.finetune.module import Finetuning
from training.model.image_encoder import restart_decoder

DEFAULT_TEMPERATURE = 0.07
"""Sigma of the contrastive loss of a run that starts without a pre-training."""


def load_pretrained(config: FinetuneConfig) -> Finetuning:
    """Build the module and load its initial weights.

    The trunk comes from the pre-training, then trunk and heads from the earlier fine-tuning.
    Heads that the earlier fine-tuning lacks, or has for other labels, keep their fresh weights.

    Raises:
        ValueError: neither a pre-training nor a model is configured.
        RuntimeError: the earlier fine-tuning has another trunk.
    """
    if config.pretrained is None:
        if config.model is None:
            raise ValueError("a fine-tuning needs `pretrained` or `model`")
        module = Finetuning(config, config.model, DEFAULT_TEMPERATURE)
    else:
        checkpoint = read_checkpoint(config.pretrained)
        before = PretrainConfig.model_validate_json(checkpoint.config)
        module = Finetuning(config, before.model, before.temperature)
        trunk = {k.removeprefix("g2d."): v for k, v in checkpoint.weights.items()}
        module.g2d.load_state_dict(trunk)
    if config.start_from is not None:
        _load_earlier(module, read_checkpoint(config.start_from).weights)
    if config.fresh_decoder:
        restart_decoder(module.g2d.img_model.decoder)
    return module


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
        raise RuntimeError(f"the earlier fine-tuning has another trunk: no {missing[0]}")
    module.load_state_dict(taken, strict=False)
