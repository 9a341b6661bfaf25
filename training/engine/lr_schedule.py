"""The learning rate of each step: a function of its number alone, so that resumed runs agree."""

import math

from training.config.engine import OptimiserConfig


def rate(step: int, steps: int, config: OptimiserConfig) -> float:
    """Linear warm-up, then a cosine to zero, or one after another; a factor on the rate.

    Args:
        step: of the optimiser, from 0.
        steps: of the whole run.
        config: how long the warm-up is, and when the cosine starts again.
    """
    start = round(steps * config.warmup)
    if step < start:
        return (step + 1) / start
    length = config.restart_every or max(1, steps - start)
    since = (step - start) % length if config.restart_every else step - start
    return 0.5 * (1 + math.cos(math.pi * since / length))
