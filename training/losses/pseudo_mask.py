"""The pseudo mask of G2D (section 3.2): attention scores -> a target for the decoder.

    mean over heads -> up-sample -> body mask (Otsu) -> threshold -> bilateral filter

No parameter is trained here and no gradient flows through it. Every step runs on the
device of its input, in float32 under any precision: nothing is copied to the host, so a
training step never waits for it.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from training.config.pretrain import Threshold, Upsampling
from training.losses.gaussian_mixture import high_scores

QUANTILES: dict[str, float] = {"p85": 0.85, "p75": 0.75, "median": 0.5}


def otsu_threshold(images: Tensor, bins: int = 256) -> Tensor:
    """Otsu's threshold of each image: the one of largest between-class variance.

    Args:
        images: B x ... intensities in [0, 1].
        bins: resolution of the histogram.

    Returns:
        B thresholds; pixels above them are foreground. Source: Otsu 1979.
    """
    flat = images.flatten(1)
    index = (flat * bins).long().clamp_(0, bins - 1)
    histogram = torch.zeros(len(flat), bins, device=images.device, dtype=torch.float32)
    histogram.scatter_add_(1, index, torch.ones_like(flat, dtype=torch.float32))
    weight = histogram / histogram.sum(dim=1, keepdim=True)
    centres = (torch.arange(bins, device=images.device, dtype=torch.float32) + 0.5) / bins
    below = weight.cumsum(dim=1)
    mass = (weight * centres).cumsum(dim=1)
    between = (mass[:, -1:] * below - mass).square() / (below * (1 - below)).clamp_min(1e-12)
    between = torch.where((below > 0) & (below < 1), between, torch.zeros_like(between))
    return (between.argmax(dim=1).float() + 1) / bins


def body_mask(images: Tensor) -> Tensor:
    """Where the body is: pixels brighter than the image's Otsu threshold.

    Args:
        images: B x 1 x H x W intensities in [0, 1].

    Returns:
        B x 1 x H x W bool.
    """
    return images > otsu_threshold(images).view(-1, 1, 1, 1)


def smooth_edges(
    mask: Tensor, kernel_px: int = 7, sigma_space_px: float = 2.0, sigma_value: float = 0.5
) -> Tensor:
    """Bilateral filter of a binary mask: a Gaussian in space times a Gaussian in value.

    Args:
        mask: B x K x H x W, 0 or 1.
        kernel_px: side of the window, odd.
        sigma_space_px: spread in space, in pixels.
        sigma_value: spread in value.

    Returns:
        B x K x H x W in [0, 1]. Source: Tomasi and Manduchi 1998. Values differ by 0 or by 1, so
        the Gaussian in value has two weights only, and one blur in space tells the share of ones
        in each window: the filter walks 2 x 7 offsets in place of 49, with the same result.
    """
    ones = _blur(_blur(mask, kernel_px, sigma_space_px, 2), kernel_px, sigma_space_px, 3)
    other = math.exp(-1 / (2 * sigma_value**2))
    of_ones = ones * (other + (1 - other) * mask)
    of_zeros = (1 - ones) * (1 - (1 - other) * mask)
    return of_ones / (of_ones + of_zeros)


def _blur(images: Tensor, kernel_px: int, sigma_px: float, dim: int) -> Tensor:
    """Gaussian mean along one side; the edge is continued outwards."""
    radius, length = kernel_px // 2, images.shape[dim]
    sides = (0, 0, radius, radius) if dim == 2 else (radius, radius, 0, 0)
    padded = F.pad(images, sides, mode="replicate")
    weights = [math.exp(-((i - radius) ** 2) / (2 * sigma_px**2)) for i in range(kernel_px)]
    total = torch.zeros_like(images)
    for i, weight in enumerate(weights):
        total += padded.narrow(dim, i, length) * (weight / sum(weights))
    return total.clamp_(0, 1)


def percentile(scores: Tensor, share: float) -> Tensor:
    """The value below which a share of each row lies, between the two nearest ranks.

    Args:
        scores: M x N.
        share: in [0, 1].

    Returns:
        M x 1; what `numpy.quantile` gives, by selection instead of sorting.
    """
    rank = share * (scores.shape[1] - 1)
    below = scores.kthvalue(math.floor(rank) + 1, dim=1, keepdim=True).values
    above = scores.kthvalue(math.ceil(rank) + 1, dim=1, keepdim=True).values
    return below + (above - below) * (rank - math.floor(rank))


@torch.no_grad()
def pseudo_mask(
    attention: Tensor,
    images: Tensor,
    *,
    threshold: Threshold = "p85",
    use_body_mask: bool = True,
    smooth: bool = True,
    aggregate_heads: bool = True,
    upsampling: Upsampling = "bilinear",
) -> Tensor:
    """The decoder's target.

    Args:
        attention: B x heads x h x w scores of the attention pool, any positive scale.
        images: B x 1 x H x W intensities in [0, 1].
        threshold: percentile of each map's scores above which the mask is 1, or a mixture of
            two Gaussians fitted to the scores of the body.
        use_body_mask: set scores outside of the body to 0 first.
        smooth: bilateral filter at the end.
        aggregate_heads: one mask of the mean over the heads; false makes one of each head.
        upsampling: of the scores to the size of the images.

    Returns:
        B x 1 (or heads) x H x W in [0, 1], without gradient.
    """
    with torch.autocast(images.device.type, enabled=False):
        scores = attention.float()
        if aggregate_heads:
            scores = scores.mean(dim=1, keepdim=True)
        scores = _upsampled(scores, images, upsampling)
        body = body_mask(images.float()) if use_body_mask else torch.ones_like(images).bool()
        mask = _binarised(scores * body, body.expand_as(scores), threshold)
        return smooth_edges(mask) if smooth else mask


def _upsampled(scores: Tensor, images: Tensor, upsampling: Upsampling) -> Tensor:
    size = images.shape[-2:]
    if upsampling == "nearest":
        return F.interpolate(scores, size, mode="nearest-exact")
    return F.interpolate(scores, size, mode="bilinear", align_corners=False)


def _binarised(scores: Tensor, body: Tensor, threshold: Threshold) -> Tensor:
    """B x K x H x W scores -> 1 where they are high among those of their map, else 0."""
    rows = scores.flatten(0, 1).flatten(1)
    if threshold == "gmm":
        high = high_scores(rows, body.flatten(0, 1).flatten(1))
    else:
        high = rows > percentile(rows, QUANTILES[threshold])
    return high.view_as(scores).float()
