"""The pseudo mask of G2D: attention scores become a target for the decoder.

    mean over heads -> upsampling -> body mask -> threshold -> bilateral filter

Source: G2D (Liu et al., NeurIPS 2024), section 3.2. Nothing here is trained, and no gradient
flows through it. Every step runs on the device of its input, in float32 under any precision, and
copies nothing to the host, so that a training step never waits for it.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from training.config.pretrain import BodyRule, Threshold, Upsampling
from training.losses.body_mask import body_mask
from training.losses.gaussian_mixture import high_scores

QUANTILES: dict[str, float] = {"p85": 0.85, "p75": 0.75, "median": 0.5}
"""Name of a threshold -> share of the scores of a map below it."""


def smooth_edges(
    mask: Tensor, kernel_px: int = 7, sigma_space_px: float = 2.0, sigma_value: float = 0.5
) -> Tensor:
    """Apply a bilateral filter to a binary mask: a Gaussian in space times a Gaussian in value.

    Values differ by 0 or by 1, so the Gaussian in value has only two weights, and one blur in
    space gives the share of ones in each window. The filter thus visits 2 x 7 offsets in place of
    49, with the same result.

    Source: Tomasi and Manduchi, Bilateral Filtering for Gray and Color Images, ICCV 1998.

    Args:
        mask: B x K x H x W, 0 or 1.
        kernel_px: side of the window, odd.
        sigma_space_px: spread in space, in pixels.
        sigma_value: spread in value.

    Returns:
        B x K x H x W in [0, 1].
    """
    ones = _blur(_blur(mask, kernel_px, sigma_space_px, 2), kernel_px, sigma_space_px, 3)
    unequal = math.exp(-1 / (2 * sigma_value**2))  # weight of a pixel of the other value
    # A one in the window weighs 1 if the centre is 1 and `unequal` if it is 0; a zero vice versa.
    weight_of_ones = ones * (unequal + (1 - unequal) * mask)
    weight_of_zeros = (1 - ones) * (1 - (1 - unequal) * mask)
    return weight_of_ones / (weight_of_ones + weight_of_zeros)


def _blur(images: Tensor, kernel_px: int, sigma_px: float, dim: int) -> Tensor:
    """Return the Gaussian mean along one dimension; the image is padded with its edge.

    Args:
        images: B x K x H x W.
        kernel_px: length of the window, odd.
        sigma_px: standard deviation of the Gaussian.
        dim: 2 for the rows, 3 for the columns.
    """
    radius, length = kernel_px // 2, images.shape[dim]
    sides = (0, 0, radius, radius) if dim == 2 else (radius, radius, 0, 0)
    padded = F.pad(images, sides, mode="replicate")
    weights = [math.exp(-((i - radius) ** 2) / (2 * sigma_px**2)) for i in range(kernel_px)]
    total = torch.zeros_like(images)
    for i, weight in enumerate(weights):
        total += padded.narrow(dim, i, length) * (weight / sum(weights))
    return total.clamp_(0, 1)


def percentile(scores: Tensor, share: float) -> Tensor:
    """Return the quantile of each row, interpolated linearly between the two nearest ranks.

    Args:
        scores: M x N.
        share: share of the scores below the quantile, in [0, 1].

    Returns:
        M x 1, equal to `numpy.quantile`, but by selection instead of sorting.
    """
    rank = share * (scores.shape[1] - 1)
    lower = math.floor(rank)
    below = scores.kthvalue(lower + 1, dim=1, keepdim=True).values
    # The next score in order: an equal one if there are more of them, else the least larger one.
    repeated = (scores <= below).sum(dim=1, keepdim=True) > lower + 1
    larger = scores.masked_fill(scores <= below, torch.inf).amin(dim=1, keepdim=True)
    above = torch.where(repeated | larger.isinf(), below, larger)
    return below + (above - below) * (rank - lower)


@torch.no_grad()
def pseudo_mask(
    attention: Tensor,
    images: Tensor,
    *,
    threshold: Threshold = "p85",
    body: BodyRule | None = "silhouette",
    smooth: bool = True,
    aggregate_heads: bool = True,
    upsampling: Upsampling = "bilinear",
) -> Tensor:
    """Return the target of the decoder.

    Args:
        attention: B x heads x h x w scores of the attention pool, on any positive scale.
        images: B x 1 x H x W intensities in [0, 1].
        threshold: percentile of the scores of each map above which the mask is 1, or `gmm` for a
            mixture of two Gaussians that is fitted to the scores of the body.
        body: rule that finds the body; scores outside of it become 0 before the threshold. None
            keeps all scores.
        smooth: True applies the bilateral filter at the end.
        aggregate_heads: True makes one mask from the mean over the heads, False one per head.
        upsampling: interpolation of the scores to the size of the images.

    Returns:
        B x 1 (or heads) x H x W in [0, 1], without gradient.
    """
    with torch.autocast(images.device.type, enabled=False):
        scores = attention.float()
        if aggregate_heads:
            scores = scores.mean(dim=1, keepdim=True)
        scores = _upsampled(scores, images, upsampling)
        inside = torch.ones_like(images).bool() if body is None else body_mask(images.float(), body)
        mask = _binarised(scores * inside, inside.expand_as(scores), threshold)
        return smooth_edges(mask) if smooth else mask


def _upsampled(scores: Tensor, images: Tensor, upsampling: Upsampling) -> Tensor:
    size = images.shape[-2:]
    if upsampling == "nearest":
        return F.interpolate(scores, size, mode="nearest-exact")
    return F.interpolate(scores, size, mode="bilinear", align_corners=False)


def _binarised(scores: Tensor, body: Tensor, threshold: Threshold) -> Tensor:
    """Return 1 where a score is high within its map and 0 elsewhere, B x K x H x W."""
    rows = scores.flatten(0, 1).flatten(1)  # BK x HW, one map per row
    if threshold == "gmm":
        high = high_scores(rows, body.flatten(0, 1).flatten(1))
    elif threshold == "mean":
        above_least = rows - rows.amin(dim=1, keepdim=True)  # the mean of equal scores is exact
        high = above_least > above_least.mean(dim=1, keepdim=True)
    else:
        high = rows > percentile(rows, QUANTILES[threshold])
    return high.view_as(scores).float()
