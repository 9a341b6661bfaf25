"""Attention pooling: one query attends to all pixels, as in CLIP.

    map -> pixel tokens, and their mean as the query -> attention -> embedding and scores

Source: G2D (Liu et al., NeurIPS 2024), section 3.1. The query has a position embedding of its
own. The pseudo mask is made of its attention scores.
"""

import logging
import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LOGGER = logging.getLogger(__name__)
Grid = tuple[int, int]


@dataclass(frozen=True)
class Pooled:
    """Output of the pool.

    Attributes:
        embedding: B x d.
        attention: B x heads x h x w scores; with the score of the query itself they sum to 1.
    """

    embedding: Tensor
    attention: Tensor


class _Projections(nn.Module):
    """Weights of the attention under the names that `nn.MultiheadAttention` gives them."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.out_proj = nn.Linear(inner, dim)
        self.in_proj_weight = nn.Parameter(torch.empty(3 * inner, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * inner))
        nn.init.xavier_uniform_(self.in_proj_weight)


def resized_positions(embedding: Tensor, grid: Grid, new: Grid) -> Tensor:
    """Return the position embeddings of another grid, by bicubic interpolation.

    Args:
        embedding: (1 + h * w) x d, the first row that of the query, which is kept.
        grid: h, w of the grid that they are made for.
        new: h, w of the other grid.

    Returns:
        (1 + new h * new w) x d.
    """
    query, pixels = embedding[:1], embedding[1:]
    square = pixels.T.reshape(1, -1, *grid)  # hw x d -> 1 x d x h x w
    resized = F.interpolate(square, new, mode="bicubic", align_corners=False)
    return torch.cat([query, resized.flatten(2)[0].T])


def square_grid(embedding: Tensor) -> Grid | None:
    """Return the grid of position embeddings of square images, or None if they are of none."""
    if embedding.ndim != 2 or not embedding.is_floating_point():
        return None
    pixels = len(embedding) - 1
    side = math.isqrt(max(pixels, 0))
    return (side, side) if side and side**2 == pixels else None


class AttentionPool(nn.Module):
    """Multi-head attention of the mean token over all tokens, then a linear layer.

    A state dict of another image size is loaded as well: its position embeddings are resized, and
    the log says so.

    If `heads` does not divide `dim` (the paper has 3 heads and 128 channels), queries, keys and
    values have the next larger width that it divides (129), and the output projection returns to
    `dim`. If it divides, weights and results are those of the released code.
    """

    def __init__(self, grid: tuple[int, int], dim: int, heads: int) -> None:
        """Build the pool.

        Args:
            grid: h, w of the map that the position embeddings are made for.
            dim: channels of the map, d.
            heads: number of attention heads.
        """
        super().__init__()
        self.grid, self.heads = grid, heads
        self.inner = -(-dim // heads) * heads
        tokens = grid[0] * grid[1] + 1
        self.positional_embedding = nn.Parameter(torch.randn(tokens, dim) / dim**0.5)
        self.mhsa = _Projections(dim, self.inner)
        self.c_proj = nn.Linear(dim, dim)

    def positions(self, height: int, width: int) -> Tensor:
        """Return the position embeddings for a map of any size, (1 + height * width) x d."""
        if (height, width) == self.grid:
            return self.positional_embedding
        return resized_positions(self.positional_embedding, self.grid, (height, width))

    def fitted(self, saved: Tensor) -> Tensor:
        """Return saved position embeddings, resized if they are of images of another size.

        Embeddings that differ in anything else are returned as they are, for a load to refuse.
        """
        before, dim = square_grid(saved), self.positional_embedding.shape[1]
        if before is None or before == self.grid or saved.shape[1] != dim:
            return saved
        return resized_positions(saved.float(), before, self.grid)

    def forward(self, pixels: Tensor) -> Pooled:
        """Return the pooled embedding and the attention scores of a map, B x d x h x w."""
        batch, _, height, width = pixels.shape
        tokens = pixels.flatten(2).transpose(1, 2)  # B x hw x d
        tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)  # B x (1 + hw) x d
        tokens = tokens + self.positions(height, width)
        query_w, key_w, value_w = self.mhsa.in_proj_weight.chunk(3)
        query_b, key_b, value_b = self.mhsa.in_proj_bias.chunk(3)
        # Only the mean token is a query: nothing else of the result would be read.
        query = self._split(F.linear(tokens[:, :1], query_w, query_b))
        key = self._split(F.linear(tokens, key_w, key_b))
        value = self._split(F.linear(tokens, value_w, value_b))
        # B x heads x 1 x (1 + hw)
        scores = (query @ key.transpose(2, 3) * (self.inner // self.heads) ** -0.5).softmax(-1)
        # B x heads x 1 x inner / heads -> B x 1 x heads x inner / heads -> B x inner
        attended = (scores @ value).transpose(1, 2).reshape(batch, self.inner)
        embedding = self.c_proj(self.mhsa.out_proj(attended))
        # The first score is that of the query for itself, which no pixel has.
        return Pooled(embedding, scores[:, :, 0, 1:].reshape(batch, self.heads, height, width))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Load the weights; this is the place that PyTorch gives a module to convert them."""
        name = f"{prefix}positional_embedding"
        saved = state_dict.get(name)
        if saved is not None and (fitted := self.fitted(saved)) is not saved:
            sizes = (32 * math.isqrt(len(tokens) - 1) for tokens in (saved, fitted))
            _LOGGER.warning("positions of the attention pool resized: %d px to %d px", *sizes)
            state_dict = state_dict | {name: fitted}
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _split(self, x: Tensor) -> Tensor:
        """Split B x tokens x inner into heads: B x heads x tokens x inner / heads."""
        heads: Tensor = x.unflatten(2, (self.heads, -1))
        return heads.transpose(1, 2)
