"""Regions of anatomical concepts, derived from the masks of the two lungs.

    left and right lung --geometry--> zones, hemidiaphragms, heart, mediastinum, ...

Only the lungs are annotated. All other regions are approximations by simple geometry, in shares of
the height and width of the lungs. The patient's right lung lies on the left of the image.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

_SIDES = ("left", "right")


@dataclass(frozen=True)
class Lungs:
    """Masks of the two lungs of each image of a batch, B x h x w bool."""

    left: Tensor
    right: Tensor

    def region(self, concept: str) -> Tensor:
        """Return the region of any key of `grounding_phrases.REGION_WORDINGS`, B x h x w bool."""
        return _REGIONS[concept](self)

    def side(self, side: str) -> Tensor:
        """Return the mask of the `left` or the `right` lung."""
        return self.left if side == "left" else self.right


def _extent(mask: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return the first and one past the last row (dim 1) or column (dim 2), each B x 1 x 1."""
    hit = mask.any(dim=3 - dim)  # B x h (dim 1) or B x w (dim 2)
    size = hit.shape[1]
    index = torch.arange(size, device=mask.device).expand_as(hit)
    first = torch.where(hit, index, size).amin(dim=1)
    last = torch.where(hit, index + 1, 0).amax(dim=1)
    return first.float().view(-1, 1, 1), last.float().view(-1, 1, 1)


def _grid(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return row and column of the centre of each cell, 1 x h x 1 and 1 x 1 x w."""
    _, height, width = mask.shape
    rows = torch.arange(height, device=mask.device).view(1, -1, 1) + 0.5
    return rows, torch.arange(width, device=mask.device).view(1, 1, -1) + 0.5


def _zone(lungs: Lungs, side: str, low: float, high: float) -> Tensor:
    """Return the part of a lung between two shares of its height, counted from the top."""
    mask = lungs.side(side)
    top, bottom = _extent(mask, 1)
    share = (_grid(mask)[0] - top) / (bottom - top).clamp_min(1)
    return mask & (share >= low) & (share < high)


def _hemidiaphragm(lungs: Lungs, side: str) -> Tensor:
    """Return a band around the lower border of a lung."""
    mask = lungs.side(side)
    height = mask.shape[1]
    index = torch.arange(height, device=mask.device).view(1, -1, 1)
    # The lowest lung pixel of each column, B x 1 x w; columns outside the lung get -height.
    lowest = torch.where(mask, index, -height).amax(dim=1, keepdim=True)
    top, bottom = _extent(mask, 1)
    # Only the lower 40 percent, so that a fissure or the apex is not taken for the base.
    low = index > top + 0.6 * (bottom - top)
    return low & ((index - lowest).abs() <= max(1, height // 28))


def _costophrenic(lungs: Lungs, side: str) -> Tensor:
    """Return the lateral 40 percent of the lowest quarter of a lung."""
    base = _zone(lungs, side, 0.75, 1.01)
    left, right = _extent(base, 2)
    # Lateral is to the right of the image for the left lung, and to the left for the right one.
    share = (_grid(base)[1] - left) / (right - left).clamp_min(1)
    return base & ((share > 0.6) if side == "left" else (share < 0.4))


def _between(lungs: Lungs, low: float, high: float, into_right: float, into_left: float) -> Tensor:
    """Return the region between the lungs, extended into each by a share of its width."""
    rows, columns = _grid(lungs.left)
    both = lungs.left | lungs.right
    top, bottom = _extent(both, 1)
    right_start, _ = _extent(lungs.right, 2)
    _, left_end = _extent(lungs.left, 2)
    inner_right = _inner(lungs.right, last=True)
    inner_left = _inner(lungs.left, last=False)
    start = inner_right - into_right * (inner_right - right_start)
    end = inner_left + into_left * (left_end - inner_left)
    share = (rows - top) / (bottom - top).clamp_min(1)
    return (columns > start) & (columns < end) & (share >= low) & (share < high)


def _inner(mask: Tensor, *, last: bool) -> Tensor:
    """Return the column of the inner border of a lung, averaged over its rows, B x 1 x 1."""
    width = mask.shape[2]
    index = torch.arange(width, device=mask.device).view(1, 1, -1)
    hit = mask.any(dim=2)
    border = (
        torch.where(mask, index + 1, 0).amax(dim=2)
        if last
        else torch.where(mask, index, width).amin(dim=2)
    )
    total = (border * hit).sum(dim=1).float() / hit.sum(dim=1).clamp_min(1)
    return total.view(-1, 1, 1)


def _regions() -> Mapping[str, Callable[[Lungs], Tensor]]:
    thirds = {"upper": (0.0, 1 / 3), "middle": (1 / 3, 2 / 3), "lower": (2 / 3, 1.01)}
    regions: dict[str, Callable[[Lungs], Tensor]] = {
        "left lung": lambda lungs: lungs.left,
        "right lung": lambda lungs: lungs.right,
        "both lungs": lambda lungs: lungs.left | lungs.right,
        "heart": partial(_between, low=0.45, high=1.01, into_right=0.12, into_left=0.5),
        "mediastinum": partial(_between, low=0.1, high=1.01, into_right=0.0, into_left=0.0),
        "trachea": partial(_between, low=0.0, high=0.35, into_right=0.0, into_left=0.0),
    }
    for side in _SIDES:
        for zone, (low, high) in thirds.items():
            regions[f"{side} {zone} zone"] = partial(_zone, side=side, low=low, high=high)
        regions[f"{side} hemidiaphragm"] = partial(_hemidiaphragm, side=side)
        regions[f"{side} costophrenic angle"] = partial(_costophrenic, side=side)
    return regions


_REGIONS = _regions()
