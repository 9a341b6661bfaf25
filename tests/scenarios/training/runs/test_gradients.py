"""Every part that is trained gets a gradient, and no other part does."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.builders.training.parts.tiny_objective import batch, config_of
from training.config.pretrain import PretrainConfig
from training.engine import seeding
from training.pretrain.objective import Pretraining

DECODER = ("g2d.img_model.decoder.", "g2d.img_model.segmentation_head.")
RELEASED = {"mask_loss": "released", "body_mask": False, "smooth": False, "upsampling": "nearest"}
SWITCHES: list[dict[str, Any]] = [
    {},
    {"decoder_loss": "reconstruction"},
    {"decoder_loss": "none"},
    {"threshold": "gmm", "attention_heads": 1},
    {"aggregate_heads": False},
    {"symmetric": False, "threshold": "median", "attention_heads": 4},
    RELEASED,
]


def _trained(config: PretrainConfig, step: int = 0) -> tuple[Pretraining, dict[str, Tensor]]:
    """Run one backward pass, and return the module and its losses."""
    seeding.seed_everything(0)
    module = Pretraining(config)
    losses: dict[str, Tensor] = module(*batch(config), step)
    losses["total"].backward()
    return module, losses


def _moved(module: Pretraining) -> set[str]:
    """Return the names of the weights whose gradient is not 0."""
    gradients = {name: weight.grad for name, weight in module.named_parameters()}
    return {name for name, grad in gradients.items() if grad is not None and grad.abs().max() > 0}


@pytest.mark.parametrize("changes", SWITCHES, ids=str)
def test_every_trainable_weight_gets_a_gradient(
    text_encoder: Path, changes: dict[str, Any]
) -> None:
    module, losses = _trained(config_of(text_encoder, **changes))
    decoder = {"none": None, "reconstruction": "reconstruction"}.get(
        changes.get("decoder_loss", ""), "pa"
    )
    terms = {"vla", decoder} - {None}
    assert set(losses) == terms | {"total"}
    assert losses["total"].item() == pytest.approx(sum(losses[str(t)].item() for t in terms))
    everything = {name for name, _ in module.named_parameters()}
    expected = {name for name in everything if decoder or not name.startswith(DECODER)}
    assert {name for name, weight in module.named_parameters() if weight.requires_grad} == expected
    assert _moved(module) == expected


@pytest.mark.parametrize("freeze_embeddings", [True, False])
def test_frozen_layers_of_the_text_encoder_get_none(
    text_encoder: Path, freeze_embeddings: bool
) -> None:
    config = config_of(text_encoder, frozen_layers=1, freeze_embeddings=freeze_embeddings)
    module, _ = _trained(config)
    bert = "g2d.lm_model.bert."
    still = (f"{bert}encoder.layer.0.",) + (f"{bert}embeddings.",) * freeze_embeddings
    expected = {name for name, _ in module.named_parameters() if not name.startswith(still)}
    assert _moved(module) == expected
    assert all(w.grad is None for n, w in module.named_parameters() if n.startswith(still))


def test_no_gradient_flows_through_the_pseudo_mask(
    text_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradients are the same if the same mask is passed in from outside."""
    config = config_of(text_encoder)
    masks: list[Tensor] = []
    make = Pretraining.target

    def noted(self: Pretraining, attention: Tensor, images: Tensor) -> Tensor:
        assert attention.requires_grad
        masks.append(make(self, attention, images))
        return masks[-1]

    monkeypatch.setattr(Pretraining, "target", noted)
    made, _ = _trained(config)
    assert not masks[0].requires_grad
    monkeypatch.setattr(Pretraining, "target", lambda *_: masks[0].clone())
    given, _ = _trained(config)
    for (name, one), other in zip(made.named_parameters(), given.parameters(), strict=True):
        assert one.grad is not None, name
        assert other.grad is not None, name
        assert torch.equal(one.grad, other.grad), name


def test_the_decoder_s_loss_counts_from_its_step_on(text_encoder: Path) -> None:
    config = config_of(text_encoder, decoder_loss_from_step=200)
    before, at_199 = _trained(config, 199)
    after, at_200 = _trained(config, 200)
    assert at_199["total"].item() == at_199["vla"].item()
    assert at_200["total"].item() == pytest.approx(at_200["vla"].item() + at_200["pa"].item())
    assert not any(name.startswith(DECODER) for name in _moved(before))
    assert all(weight.grad is not None for weight in before.parameters())  # as DDP needs it
    assert _moved(after) == {name for name, _ in after.named_parameters()}


def test_the_losses_of_a_step_are_those_of_its_parts(text_encoder: Path) -> None:
    """L_VLA and L_PA from the model's own outputs, each term written out."""
    config = config_of(text_encoder)
    module, losses = _trained(config)
    images, tokens, ids = batch(config)
    seeding.seed_everything(0)
    again = Pretraining(config)
    features = again.g2d.image((images - 0.5) / 0.5)
    text = again.g2d.text(tokens.input_ids, tokens.attention_mask)
    unit = [x / x.norm(dim=1, keepdim=True) for x in (features.embedding, text)]
    cosine = unit[0] @ unit[1].T / 0.07
    same = (ids[:, None] == ids[None, :]).float()
    share = same / same.sum(dim=1, keepdim=True)
    vla = (
        -(share * cosine.log_softmax(1)).sum(1).mean()
        - (share * cosine.T.log_softmax(1)).sum(1).mean()
    )
    p = again.g2d.mask_logits(features).sigmoid()
    m = again.target(features.attention, images)
    dice = 1 - (2 * (p * m).sum((2, 3)) + 1) / (p.sum((2, 3)) + m.sum((2, 3)) + 1)
    bce = -(m * p.log() + (1 - m) * (1 - p).log())
    torch.testing.assert_close(losses["vla"], vla, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(losses["pa"], 0.5 * (dice.mean() + bce.mean()))
    assert module.config.temperature == 0.07
