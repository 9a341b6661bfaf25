"""The learning rate as a function of the step alone, so that a resumed run agrees."""

import math

from training.config.engine import OptimiserConfig


def lr_factor(step: int, steps: int, config: OptimiserConfig) -> float:
    """Return the factor on the learning rate: linear warm-up, then cosine decay to zero.

    Args:
        step: optimiser step, from 0.
        steps: number of steps of the whole run.
        config: length of the warm-up, and after how many steps the cosine restarts.
    """
    start = round(steps * config.warmup)
    if step < start:
        return (step + 1) / start
    length = config.restart_every or max(1, steps - start)
    since = (step - start) % length if config.restart_every else step - start
    return 0.5 * (1 + math.cos(math.pi * since / length))
