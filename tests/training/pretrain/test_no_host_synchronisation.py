"""A step of pre-training never asks the device for a value: the host would wait for it."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from tests.builders.training.parts.no_waiting import Waited, no_blocking_copies, no_waiting
from tests.builders.training.parts.tiny_objective import batch, config_of
from training.config.augmentation import AugmentConfig, PaperAugmentConfig, ReleasedAugmentConfig
from training.config.pretrain import SentenceConfig, Threshold
from training.data.augmentation.augment import augment
from training.model.text_encoder import Tokens
from training.pretrain.objective import Pretraining, Statements


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: float(x.max()),
        lambda x: bool((x > 0).any()),
        lambda x: x[x > 0.5],
        lambda x: x.nonzero(),
        lambda x: torch.equal(x, x),
    ],
)
def test_waiting_is_noticed(wait: Any) -> None:
    with pytest.raises(Waited), no_waiting():
        wait(torch.rand(3, 3))


@pytest.mark.parametrize(
    "changes",
    [
        {"threshold": "p85"},
        {"threshold": "gmm", "aggregate_heads": False},
        {"decoder_loss": "reconstruction"},
        {"decoder_loss": "none", "symmetric": False},
        {"mask_loss": "released", "upsampling": "nearest", "body_mask": False, "smooth": False},
        {"decoder_loss_from_step": 200},
        {"body_rule": "otsu"},
    ],
    ids=str,
)
@pytest.mark.parametrize("with_ids", [True, False])
def test_forward_and_backward_do_not_wait(
    text_encoder: Path, changes: dict[str, Any], with_ids: bool
) -> None:
    config = config_of(text_encoder, **changes)
    module = Pretraining(config)
    images, tokens, ids = batch(config)
    with no_waiting():
        module(images, tokens, ids if with_ids else None, 3)["total"].backward()


def test_statements_do_not_wait(text_encoder: Path) -> None:
    config = config_of(text_encoder, sentences=SentenceConfig(presence=True))
    module = Pretraining(config)
    images, tokens, ids = batch(config)
    statements = Statements(tokens, torch.tensor([[1, -1, 0, 1]] * 4, dtype=torch.int8))
    with no_waiting():
        module(images, tokens, ids, 3, statements)["total"].backward()


@pytest.mark.parametrize("threshold", get_args(Threshold))
def test_forward_and_backward_copy_nothing_to_the_host(
    text_encoder: Path, threshold: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tensors without content: `cpu()`, `numpy()` and `tolist()` are errors."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # knows no such device
    config = config_of(text_encoder, threshold=threshold)
    module = Pretraining(config).to("meta")
    images, tokens, ids = batch(config)
    on_meta = Tokens(tokens.input_ids.to("meta"), tokens.attention_mask.to("meta"))
    images, ids = images.to("meta"), ids.to("meta")
    with no_blocking_copies():
        module(images, on_meta, ids, 3)["total"].backward()


@pytest.mark.parametrize("copy", [Tensor.cpu, Tensor.numpy, Tensor.tolist])
def test_a_copy_to_the_host_is_noticed(copy: Any) -> None:
    with pytest.raises((NotImplementedError, RuntimeError, TypeError)):
        copy(torch.rand(2, device="meta"))


@pytest.mark.parametrize(
    "config",
    [AugmentConfig(), PaperAugmentConfig(kind="paper"), ReleasedAugmentConfig(kind="released")],
    ids=lambda config: str(config.kind),
)
def test_what_is_done_to_the_images_does_not_wait(config: Any) -> None:
    """All but the inverse of the maps, which stay on the CPU whatever the device."""
    generator = torch.Generator().manual_seed(0)
    with no_waiting():
        augment(torch.rand(3, 1, 32, 32), None, config, generator)
