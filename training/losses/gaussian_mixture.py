"""A mixture of two Gaussians, fitted to each attention map to separate the high scores.

    sums of 1, x, x^2 over a component <-> log-odds of a score x, a parabola in x

All maps are fitted at once, on their device, by expectation maximisation with a fixed start and a
fixed number of rounds. Equal maps give equal results, and nothing is copied to the host.
"""

import torch
from torch import Tensor

ROUNDS = 30
"""Rounds of expectation and maximisation."""
MIN_VARIANCE = 1e-4
"""Least variance of a component, where all counted scores have variance 1. Without it, a
component could shrink to a single point."""


def high_scores(scores: Tensor, counted: Tensor) -> Tensor:
    """Return a mask of the scores that belong to the component with the larger mean.

    A score is high if it is above the mean of the higher component, or if it is above the mean of
    the lower one and more likely to come from the higher one. The conditions on the means make
    this a threshold for any pair of variances; the likelihood alone would assign both tails to
    the wider component.

    Args:
        scores: M x N, one map per row, on any scale.
        counted: M x N bool, the scores that the mixture is fitted to; others are never high.

    Returns:
        M x N bool; nothing is high in a map of a single value.
    """
    weight = counted.to(scores.dtype)
    x = _standardised(scores, weight)
    powers = torch.stack([weight, weight * x, weight * x.square()], dim=1)  # M x 3 x N
    total = powers.sum(dim=2)
    odds = torch.where(x > 0, 1e3, -1e3)  # start: the scores above the mean are the high ones
    high = total
    for _ in range(ROUNDS):
        # Maximisation: sums over the higher component, M x 3 x N @ M x N x 1 -> M x 3.
        high = (powers @ odds.sigmoid().unsqueeze(2)).squeeze(2)
        # Expectation: the log-odds are the difference of the two parabolas, each term M x 1.
        of_one, of_x, of_square = (_parabola(high) - _parabola(total - high)).unsqueeze(1).unbind(2)
        odds = of_one + x * (of_x + x * of_square)
    low_mean, high_mean = _mean(total - high), _mean(high)
    return (((odds > 0) & (x > low_mean)) | (x > high_mean)) & counted


def _standardised(scores: Tensor, weight: Tensor) -> Tensor:
    """Return scores of mean 0 and variance 1 over the counted ones of each map.

    A map of a single value becomes 0. The scores are first scaled to [0, 1], so that the squares
    of very small ones do not underflow.
    """
    count = weight.sum(dim=1, keepdim=True).clamp_min(1)
    lowest, highest = scores.amin(dim=1, keepdim=True), scores.amax(dim=1, keepdim=True)
    scores = (scores - lowest) / (highest - lowest).clamp_min(torch.finfo(scores.dtype).tiny)
    centred = scores - (scores * weight).sum(dim=1, keepdim=True) / count
    spread = ((centred.square() * weight).sum(dim=1, keepdim=True) / count).sqrt()
    return torch.where(spread > 1e-6, centred / spread, torch.zeros_like(centred))


def _mean(sums: Tensor) -> Tensor:
    """Return the means, M x 1, for sums of 1, x, x^2, M x 3."""
    return sums[:, 1:2] / sums[:, :1].clamp_min(1e-6)


def _parabola(sums: Tensor) -> Tensor:
    """Return the logarithm of size times density of a component, as a polynomial in x.

    Args:
        sums: M x 3, the sums of 1, x, x^2 over the component.

    Returns:
        M x 3 coefficients of 1, x, x^2, without the constant that all components share.
    """
    size, mean = sums[:, :1].clamp_min(1e-6), _mean(sums)
    variance = (sums[:, 2:] / size - mean.square()).clamp_min(0) + MIN_VARIANCE
    of_one = size.log() - 0.5 * (variance.log() + mean.square() / variance)
    return torch.cat([of_one, mean / variance, -0.5 / variance], dim=1)
