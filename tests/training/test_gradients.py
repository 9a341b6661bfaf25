"""Every part that is trained gets a gradient, and nothing else does."""

from pathlib import Path

import torch

from tests.training import tiny_runs
from tests.training.tiny_runs import SIZE_PX
from training import loop
from training.config import PairsConfig, PretrainConfig
from training.model.text_encoder import build_tokenizer, tokenize
from training.tasks.objective import Pretraining

TEXTS = ("clear lungs", "effusion", "pneumonia", "the heart is large")


def _config(text: Path, tmp_path: Path, frozen_layers: int) -> PretrainConfig:
    return PretrainConfig(
        kind="pretrain",
        epochs=1,
        batch_size=4,
        model=tiny_runs.model_config(text, frozen_layers),
        data=PairsConfig(root=tmp_path, tables=("none",)),
    )


def _trained(config: PretrainConfig) -> Pretraining:
    """One backward pass."""
    loop.seed_everything(0)
    module = Pretraining(config)
    tokens = tokenize(build_tokenizer(config.model.text), TEXTS, 32)
    losses = module(torch.rand(4, 1, SIZE_PX, SIZE_PX), tokens, None, 0)
    assert set(losses) == {"vla", "pa", "total"}
    torch.testing.assert_close(losses["total"], losses["vla"] + losses["pa"])
    losses["total"].backward()
    return module


def test_every_trainable_weight_gets_a_gradient(text_encoder: Path, tmp_path: Path) -> None:
    module = _trained(_config(text_encoder, tmp_path, frozen_layers=0))
    for name, weight in module.named_parameters():
        assert weight.requires_grad, name
        assert weight.grad is not None, name
        assert weight.grad.abs().max() > 0, name


def test_frozen_layers_of_the_text_encoder_get_none(text_encoder: Path, tmp_path: Path) -> None:
    module = _trained(_config(text_encoder, tmp_path, frozen_layers=1))
    bert = module.g2d.lm_model.bert
    for part in (bert.embeddings, bert.encoder.layer[0]):
        assert all(weight.grad is None for weight in part.parameters())
    assert all(weight.grad is not None for weight in bert.encoder.layer[1].parameters())


def test_without_the_pseudo_segmentation_the_decoder_gets_none(
    text_encoder: Path, tmp_path: Path
) -> None:
    config = _config(text_encoder, tmp_path, 1).model_copy(update={"decoder_loss": "none"})
    module = Pretraining(config)
    tokens = tokenize(build_tokenizer(config.model.text), TEXTS, 32)
    losses = module(torch.rand(4, 1, SIZE_PX, SIZE_PX), tokens, None, 0)
    losses["total"].backward()
    assert set(losses) == {"vla", "total"}
    assert all(weight.grad is None for weight in module.g2d.img_model.decoder.parameters())
    assert all(weight.grad is not None for weight in module.g2d.attnpool.parameters())
