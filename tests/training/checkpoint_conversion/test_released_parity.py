"""Parity with numbers that the released G2D code computed: pool, projector and both losses.

`released_parity.npz` holds its weights, inputs and outputs. The projector's input map has
32 pixels of 2048 channels: it is kept in an orthonormal basis of those pixels (QR in float64,
the first convolution turned with it), which changes no product by more than float32 rounds and
takes 1.5 MB less.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.builders.training.runs import tiny_runs
from training.losses.contrastive import contrastive_loss
from training.losses.segmentation import released_alignment_loss
from training.model.g2d import G2D

Numbers = dict[str, Tensor]


@pytest.fixture(scope="module")
def released() -> Numbers:
    """Inputs and outputs of the released code."""
    with np.load(Path(__file__).parent / "released_parity.npz", allow_pickle=False) as file:
        return {name: torch.from_numpy(value) for name, value in file.items()}


@pytest.fixture(scope="module")
def g2d(text_encoder: Path, released: Numbers) -> G2D:
    """Our model at the size of the released one beside its encoders, with its weights."""
    tiny = tiny_runs.model_config(text_encoder)
    sizes = {"projection_dim": 128, "attention_heads": 4}
    model = G2D(tiny.model_copy(update=sizes), size_px=256)
    deep = model.img_model.encoder.out_channels[-1]
    wide = {"proj_v.0.weight": _padded(released["proj_v.0.weight"], deep)}
    for name in ("attnpool", "proj_v"):
        part = {k: v for k, v in (released | wide).items() if k.startswith(f"{name}.")}
        model.get_submodule(name).load_state_dict(
            {k.removeprefix(f"{name}."): v for k, v in part.items()}
        )
    return model.eval().requires_grad_(requires_grad=False)


def _padded(x: Tensor, channels: int) -> Tensor:
    """Zeros beyond the channels that the file holds: they add nothing to a product."""
    return F.pad(x, (0, 0, 0, 0, 0, channels - x.shape[1]))


def test_the_attention_pool_gives_the_released_embedding_and_scores(
    g2d: G2D, released: Numbers
) -> None:
    pooled = g2d.attnpool(released["attnpool_in"])
    torch.testing.assert_close(pooled.embedding, released["attnpool_out"], atol=1e-6, rtol=1e-5)
    scores = released["attnpool_scores"][:, :, 1:].unflatten(2, (8, 8))  # the query stands first
    torch.testing.assert_close(pooled.attention, scores, atol=1e-7, rtol=1e-5)


def test_the_projector_gives_the_released_map(g2d: G2D, released: Numbers) -> None:
    pixels = _padded(released["proj_v_in"], g2d.img_model.encoder.out_channels[-1])
    projected = g2d.proj_v(pixels)
    assert projected.abs().max() > 0.9
    torch.testing.assert_close(projected, released["proj_v_out"], atol=2e-6, rtol=1e-5)


def test_the_contrastive_loss_is_the_released_one(released: Numbers) -> None:
    loss = contrastive_loss(released["clip_image"], released["clip_text"], temperature=0.07)
    torch.testing.assert_close(loss, released["clip_loss"], atol=0, rtol=1e-6)


def test_the_released_mask_loss_on_raw_logits_is_the_released_one(released: Numbers) -> None:
    loss = released_alignment_loss(released["seg_logits"], released["seg_target"])
    torch.testing.assert_close(loss, released["seg_loss_released"], atol=0, rtol=1e-6)
