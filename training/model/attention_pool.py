"""Attention pooling: one query attends to all pixels (G2D section 3.1, as in CLIP).

The query is the mean of the pixel tokens with a position embedding of its own. Its
attention scores are what the pseudo mask is made of.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Pooled:
    """Output of the pool.

    Attributes:
        embedding: B x d.
        attention: B x heads x h x w; over the pixels and the query itself they sum to 1.
    """

    embedding: Tensor
    attention: Tensor


class _Projections(nn.Module):
    """The weights of the attention under the names that `nn.MultiheadAttention` gives them."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.out_proj = nn.Linear(inner, dim)
        self.in_proj_weight = nn.Parameter(torch.empty(3 * inner, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * inner))
        nn.init.xavier_uniform_(self.in_proj_weight)


class AttentionPool(nn.Module):
    """Multi-head attention of the mean token over all tokens, then a linear layer.

    When `heads` does not divide `dim` (the paper's 3 heads of 128), keys, queries and values
    get the next larger width that it divides (129) and the output projection returns to
    `dim`. When it divides, weights have the layout and the result of the released code.
    """

    def __init__(self, grid: tuple[int, int], dim: int, heads: int) -> None:
        """Args: grid: h, w of the map it was made for; dim: channels; heads: attention heads."""
        super().__init__()
        self.grid, self.heads = grid, heads
        self.inner = -(-dim // heads) * heads
        tokens = grid[0] * grid[1] + 1
        self.positional_embedding = nn.Parameter(torch.randn(tokens, dim) / dim**0.5)
        self.mhsa = _Projections(dim, self.inner)
        self.c_proj = nn.Linear(dim, dim)

    def positions(self, height: int, width: int) -> Tensor:
        """Position embeddings for a map of any size, (1 + height * width) x d."""
        if (height, width) == self.grid:
            return self.positional_embedding
        query, pixels = self.positional_embedding[:1], self.positional_embedding[1:]
        square = pixels.T.reshape(1, -1, *self.grid)
        resized = F.interpolate(square, (height, width), mode="bicubic", align_corners=False)
        return torch.cat([query, resized.flatten(2)[0].T])

    def forward(self, pixels: Tensor) -> Pooled:
        """B x d x h x w -> pooled embedding and attention scores."""
        batch, _, height, width = pixels.shape
        tokens = pixels.flatten(2).transpose(1, 2)  # B x hw x d
        tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)
        tokens = tokens + self.positions(height, width)
        query_w, key_w, value_w = self.mhsa.in_proj_weight.chunk(3)
        query_b, key_b, value_b = self.mhsa.in_proj_bias.chunk(3)
        query = self._split(F.linear(tokens[:, :1], query_w, query_b))
        key = self._split(F.linear(tokens, key_w, key_b))
        value = self._split(F.linear(tokens, value_w, value_b))
        scores = (query @ key.transpose(2, 3) * (self.inner // self.heads) ** -0.5).softmax(-1)
        attended = (scores @ value).transpose(1, 2).reshape(batch, self.inner)
        embedding = self.c_proj(self.mhsa.out_proj(attended))
        return Pooled(embedding, scores[:, :, 0, 1:].reshape(batch, self.heads, height, width))

    def _split(self, x: Tensor) -> Tensor:
        """B x tokens x inner -> B x heads x tokens x inner / heads."""
        heads: Tensor = x.unflatten(2, (self.heads, -1))
        return heads.transpose(1, 2)
