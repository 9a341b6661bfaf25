"""Agreement of the device with the CPU: steps of pre-training, and every kind of pseudo mask."""

import copy
import itertools
from typing import get_args

import torch
from torch import Tensor

from bench.accelerator.findings import Findings, Options, Table
from bench.accelerator.paper_model import configure, reports, save_text_encoder
from bench.reporting.checks import Check, at_most
from training.config.pretrain import BodyRule, Threshold, Upsampling
from training.losses.pseudo_mask import pseudo_mask
from training.model.text_encoder import Tokens, build_tokenizer, tokenize
from training.pretrain.objective import Pretraining

LOSS_GAP = 1e-3
"""Largest relative difference of a loss, after optimiser steps in float32."""
MASK_SHARE = 1e-3
"""Largest share of pixels in which a mask differs: scores close to the threshold may cross it."""
_STEPS, _ROWS = 3, 4
_BODIES = (*get_args(BodyRule), None)
_Losses = dict[str, float]


def measure(options: Options) -> Findings:
    """Compare losses after optimiser steps, and pseudo masks of the same scores."""
    # TensorFloat-32 rounds factors to 10 bits of mantissa; agreement is asked of float32.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    host, device = _losses(options)
    gaps = [
        abs(there[name] - here[name]) / max(abs(here[name]), 1e-6)
        for here, there in zip(host, device, strict=True)
        for name in here
    ]
    rows = [
        [str(step), name, f"{here[name]:.6f}", f"{there[name]:.6f}"]
        for step, (here, there) in enumerate(zip(host, device, strict=True), 1)
        for name in here
    ]
    note = f"{_STEPS} steps of AdamW, {_ROWS} pairs, float32, no dropout; relative difference"
    losses = at_most("losses of pre-training", max(gaps), LOSS_GAP, "", note)
    return Findings(
        [losses, _masks(options)], [Table("Losses", ["step", "loss", "CPU", "device"], rows)]
    )


def _losses(options: Options) -> tuple[list[_Losses], list[_Losses]]:
    """Return the losses of the steps on the CPU and on the device, from the same weights."""
    save_text_encoder(options.work / "bert", quick=options.quick, dropout=0.0)
    config = configure(options, "32-true")
    torch.manual_seed(0)
    module = Pretraining(config)
    texts = reports(options)[:_ROWS]
    tokens = tokenize(build_tokenizer(config.model.text), texts, config.model.text.max_tokens)
    images = torch.rand(_ROWS, 1, options.side, options.side)
    there = copy.deepcopy(module).to(options.device)
    moved = Tokens(tokens.input_ids.to(options.device), tokens.attention_mask.to(options.device))
    return (
        _train(module, images, tokens),
        _train(there, images.to(options.device), moved),
    )


def _train(module: Pretraining, images: Tensor, tokens: Tokens) -> list[_Losses]:
    """Take optimiser steps on one batch and return their losses."""
    module.train()
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-5)
    found: list[_Losses] = []
    for step in range(_STEPS):
        losses = module(images, tokens, None, step)
        optimiser.zero_grad()
        losses["total"].backward()
        optimiser.step()
        found.append({name: float(value) for name, value in losses.items()})
    return found


def _masks(options: Options) -> Check:
    """Compare every kind of pseudo mask for the same scores and images."""
    generator = torch.Generator().manual_seed(0)
    side = options.side
    attention = torch.rand(_ROWS, 3, side // 32, side // 32, generator=generator)
    images = torch.rand(_ROWS, 1, side, side, generator=generator)
    kinds = itertools.product(
        get_args(Threshold), get_args(Upsampling), _BODIES, *[(True, False)] * 2
    )
    shares: dict[str, float] = {}
    for threshold, upsampling, body, smooth, aggregate in kinds:
        masks = [
            pseudo_mask(
                attention.to(place),
                images.to(place),
                threshold=threshold,
                upsampling=upsampling,
                body=body,
                smooth=smooth,
                aggregate_heads=aggregate,
            ).cpu()
            for place in ("cpu", options.device)
        ]
        differs = (masks[0] - masks[1]).abs() > 1e-3
        name = f"{threshold}, {upsampling}, body {body}, smooth {smooth}, heads {aggregate}"
        shares[name] = float(differs.float().mean())
    worst = max(shares, key=lambda name: shares[name])
    note = f"share of pixels that differ, largest of {len(shares)} variants: {worst}"
    return at_most("pseudo masks", shares[worst], MASK_SHARE, "", note)
