"""The attention pool against the layer of PyTorch that the released code uses."""

import logging

import pytest
import torch
from torch import nn

from training.model.attention_pool import AttentionPool, resized_positions


def test_four_heads_equal_the_multi_head_attention_of_pytorch() -> None:
    torch.manual_seed(0)
    pool, pixels = AttentionPool((3, 5), 16, 4), torch.randn(2, 16, 3, 5)
    reference = nn.MultiheadAttention(16, 4, batch_first=True)
    reference.load_state_dict(pool.mhsa.state_dict())
    tokens = pixels.flatten(2).transpose(1, 2)
    tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1) + pool.positional_embedding
    attended, scores = reference(tokens[:, :1], tokens, tokens, average_attn_weights=False)
    pooled = pool(pixels)
    torch.testing.assert_close(pooled.embedding, pool.c_proj(attended[:, 0]))
    torch.testing.assert_close(pooled.attention, scores[:, :, 0, 1:].unflatten(2, (3, 5)))


def test_three_heads_share_128_channels_and_attend_to_at_most_everything() -> None:
    torch.manual_seed(0)
    pooled = AttentionPool((7, 7), 128, 3)(torch.randn(2, 128, 7, 7))
    assert pooled.embedding.shape == (2, 128)
    assert pooled.attention.shape == (2, 3, 7, 7)
    total = pooled.attention.sum(dim=(2, 3))
    assert bool((total > 0).all())
    assert bool((total <= 1 + 1e-6).all())


def test_another_grid_is_served_by_resized_positions() -> None:
    torch.manual_seed(0)
    pool = AttentionPool((4, 4), 8, 2)
    assert pool(torch.randn(1, 8, 6, 5)).attention.shape == (1, 2, 6, 5)
    torch.testing.assert_close(pool.positions(6, 5)[0], pool.positional_embedding[0])


def test_positions_of_twice_the_size_are_halved_by_bicubic_interpolation() -> None:
    """Half way between two pixels, the weights are -3/32, 19/32, 19/32 and -3/32."""
    query = torch.tensor([[7.0, -7.0]])
    row, column = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
    pixels = torch.stack([row, column], dim=2).flatten(0, 1)  # each pixel knows its place
    halved = resized_positions(torch.cat([query, pixels]), (4, 4), (2, 2))
    low, high = 13 / 32, 83 / 32  # edges are repeated: 0, 0, 1, 2 and 1, 2, 3, 3
    expected = [[7, -7], [low, low], [low, high], [high, low], [high, high]]
    torch.testing.assert_close(halved, torch.tensor(expected))


@pytest.mark.parametrize(("before", "now"), [(2, 3), (3, 2)])
def test_weights_of_another_size_are_loaded_with_resized_positions(
    before: int, now: int, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    saved, pool = (AttentionPool((side, side), 8, 2) for side in (before, now))
    state = saved.state_dict()
    with caplog.at_level(logging.WARNING):
        nn.ModuleDict({"pool": pool}).load_state_dict({f"pool.{k}": v for k, v in state.items()})
    assert caplog.messages == [
        f"positions of the attention pool resized: {32 * before} px to {32 * now} px"
    ]
    torch.testing.assert_close(pool.positional_embedding, saved.positions(now, now))
    assert torch.equal(pool.positional_embedding[0], saved.positional_embedding[0])
    assert torch.equal(pool.mhsa.in_proj_weight, saved.mhsa.in_proj_weight)
    assert len(state["positional_embedding"]) == before**2 + 1  # the caller's dict is unchanged


def test_weights_of_the_same_size_are_loaded_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    saved, pool = (AttentionPool((3, 3), 8, 2) for _ in range(2))
    pool.load_state_dict(saved.state_dict())
    assert torch.equal(pool.positional_embedding, saved.positional_embedding)
    assert caplog.messages == []


@pytest.mark.parametrize(
    "positions",
    [
        torch.zeros(1, 8),  # the query alone
        torch.zeros(0, 8),
        torch.zeros(7, 8),  # six pixels are no square
        torch.zeros(5, 9),  # of another dimension
        torch.zeros(5, 8, 1),
        torch.zeros(5, 8, dtype=torch.int64),
    ],
)
def test_positions_of_another_model_are_refused(positions: torch.Tensor) -> None:
    pool = AttentionPool((3, 3), 8, 2)
    with pytest.raises(RuntimeError, match="positional_embedding"):
        pool.load_state_dict(pool.state_dict() | {"positional_embedding": positions})
