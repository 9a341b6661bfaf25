"""Parameter groups of the optimiser, and gradient clipping."""

import pytest
import torch
from lightning.fabric import Fabric
from torch import nn

from training.config.engine import OptimiserConfig
from training.engine.optimisation.optimiser import build_optimiser, clip


def test_the_text_encoder_may_have_its_own_rate() -> None:
    parameters = {"text.a": nn.Parameter(torch.ones(1)), "b": nn.Parameter(torch.ones(1))}
    frozen = {"c": nn.Parameter(torch.ones(1), requires_grad=False)}
    config = OptimiserConfig(lr=0.1, text_lr=0.01)
    groups = build_optimiser(parameters | frozen, config, "text").param_groups
    assert [(g["base_lr"], len(g["params"])) for g in groups] == [(0.1, 1), (0.01, 1)]


@pytest.mark.parametrize(("norm", "left"), [(None, [3.0, 4.0]), (1.0, [0.6, 0.8])])
def test_gradients_are_clipped_to_a_norm_or_only_measured(
    norm: float | None, left: list[float]
) -> None:
    linear = nn.Linear(2, 1, bias=False)
    linear.weight.grad = torch.tensor([[3.0, 4.0]])
    optimiser = torch.optim.SGD(linear.parameters(), lr=0.1)
    before = clip(Fabric(accelerator="cpu", devices=1), linear, optimiser, norm)
    assert before.item() == pytest.approx(5.0)
    assert linear.weight.grad[0].tolist() == pytest.approx(left)
