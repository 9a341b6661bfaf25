"""The attention pool against the layer of PyTorch that the released code uses."""

import torch
from torch import nn

from training.model.attention_pool import AttentionPool


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
