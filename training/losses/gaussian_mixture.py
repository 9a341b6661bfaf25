"""A mixture of two Gaussians fitted to each attention map: which scores are the high ones.

Expectation maximisation of all maps at once, on their device, with a fixed start and a fixed
number of rounds: equal maps give equal answers, and nothing is copied to the host.

    sums of 1, x, x^2 over a component <-> the odds of a score x, a parabola in x
"""

import torch
from torch import Tensor

ROUNDS = 30
"""Of expectation and maximisation."""
SMALLEST_VARIANCE = 1e-4
"""Of a component, where the variance of all counted scores is 1: one point is no component."""


def high_scores(scores: Tensor, counted: Tensor) -> Tensor:
    """Which scores belong to the component of the larger mean.

    Args:
        scores: M x N, one map in each row, any scale.
        counted: M x N bool, the scores that the mixture is fitted to; the others are not high.

    Returns:
        M x N bool: counted, and more likely of the higher component than of the lower one, or
        above its mean. That second clause, and a score below the lower mean never being high,
        make it a threshold whatever the two variances are. Maps of one value have none.
    """
    weight = counted.to(scores.dtype)
    x = _standardised(scores, weight)
    powers = torch.stack([weight, weight * x, weight * x.square()], dim=1)  # M x 3 x N
    total = powers.sum(dim=2)
    odds = torch.where(x > 0, 1e3, -1e3)  # start: what lies above the mean
    high = total
    for _ in range(ROUNDS):
        high = (powers @ odds.sigmoid().unsqueeze(2)).squeeze(2)
        of_one, of_x, of_square = (_parabola(high) - _parabola(total - high)).unsqueeze(1).unbind(2)
        odds = of_one + x * (of_x + x * of_square)
    low_mean, high_mean = _mean(total - high), _mean(high)
    return (((odds > 0) & (x > low_mean)) | (x > high_mean)) & counted


def _standardised(scores: Tensor, weight: Tensor) -> Tensor:
    """Scores of mean 0 and variance 1 over the counted ones of each map; 0 where all agree."""
    count = weight.sum(dim=1, keepdim=True).clamp_min(1)
    lowest, highest = scores.amin(dim=1, keepdim=True), scores.amax(dim=1, keepdim=True)
    scores = (scores - lowest) / (highest - lowest).clamp_min(torch.finfo(scores.dtype).tiny)
    centred = scores - (scores * weight).sum(dim=1, keepdim=True) / count
    spread = ((centred.square() * weight).sum(dim=1, keepdim=True) / count).sqrt()
    return torch.where(spread > 1e-6, centred / spread, torch.zeros_like(centred))


def _mean(sums: Tensor) -> Tensor:
    """M x 3 sums of 1, x, x^2 -> M x 1."""
    return sums[:, 1:2] / sums[:, :1].clamp_min(1e-6)


def _parabola(sums: Tensor) -> Tensor:
    """Log of a component's size times its density, as coefficients of 1, x, x^2: M x 3.

    Args:
        sums: M x 3, of 1, x, x^2 over the component.
    """
    size, mean = sums[:, :1].clamp_min(1e-6), _mean(sums)
    variance = (sums[:, 2:] / size - mean.square()).clamp_min(0) + SMALLEST_VARIANCE
    of_one = size.log() - 0.5 * (variance.log() + mean.square() / variance)
    return torch.cat([of_one, mean / variance, -0.5 / variance], dim=1)
