"""The pseudo mask of G2D (section 3.2): attention scores -> a target for the decoder.

    mean over heads -> up-sample -> body mask (Otsu) -> threshold -> bilateral filter

No parameter is trained here and no gradient flows through it. Every step runs on the
device of its input: nothing is copied to the host, so a training step never waits for it.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Threshold = Literal["p85", "p75", "median"]
QUANTILES: dict[Threshold, float] = {"p85": 0.85, "p75": 0.75, "median": 0.5}


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


def bilateral_filter(
    images: Tensor, kernel_px: int = 7, sigma_space_px: float = 2.0, sigma_value: float = 0.5
) -> Tensor:
    """Edge-preserving smoothing: a Gaussian in space times a Gaussian in value.

    Args:
        images: B x 1 x H x W.
        kernel_px: side of the window, odd.
        sigma_space_px: spread in space, in pixels.
        sigma_value: spread in value.

    Returns:
        B x 1 x H x W. Source: Tomasi and Manduchi 1998. The window is walked offset by
        offset, so that memory does not grow with its area.
    """
    radius = kernel_px // 2
    height, width = images.shape[-2:]
    padded = F.pad(images, (radius,) * 4, mode="replicate")
    total = torch.zeros_like(images)
    norm = torch.zeros_like(images)
    for dy in range(kernel_px):
        for dx in range(kernel_px):
            shifted = padded[..., dy : dy + height, dx : dx + width]
            space = ((dy - radius) ** 2 + (dx - radius) ** 2) / (2 * sigma_space_px**2)
            weight = torch.exp(-((shifted - images).square()) / (2 * sigma_value**2)) * math.exp(
                -space
            )
            total = total + weight * shifted
            norm = norm + weight
    return total / norm


@torch.no_grad()
def pseudo_mask(
    attention: Tensor,
    images: Tensor,
    *,
    threshold: Threshold = "p85",
    use_body_mask: bool = True,
    smooth: bool = True,
) -> Tensor:
    """The decoder's target.

    Args:
        attention: B x heads x h x w scores of the attention pool, any positive scale.
        images: B x 1 x H x W intensities in [0, 1].
        threshold: percentile of each image's scores above which the mask is 1.
        use_body_mask: set scores outside of the body to 0 first.
        smooth: bilateral filter at the end.

    Returns:
        B x 1 x H x W in [0, 1], without gradient.
    """
    scores = attention.float().mean(dim=1, keepdim=True)
    scores = F.interpolate(scores, images.shape[-2:], mode="bilinear", align_corners=False)
    if use_body_mask:
        scores = scores * body_mask(images.float())
    level = torch.quantile(scores.flatten(1), QUANTILES[threshold], dim=1).view(-1, 1, 1, 1)
    mask = (scores > level).float()
    return bilateral_filter(mask) if smooth else mask
