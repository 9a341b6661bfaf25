"""Activation functions that turn raw outputs into probabilities, in NumPy."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Float = TypeVar("Float", np.float32, np.float64)


def sigmoid(logits: NDArray[Float], temperature: float = 1.0) -> NDArray[Float]:
    """Return 1 / (1 + exp(-logits / temperature)) without overflow for any logit.

    Args:
        logits: any shape, float32 or float64; the result is computed in the same precision.
        temperature: the positive divisor of the logits.

    Returns:
        Probabilities of the same shape and dtype, 0 to 1.
    """
    # sigmoid(x) = (1 + tanh(x / 2)) / 2. The quotient may overflow to infinity, where tanh is 1.
    with np.errstate(over="ignore"):
        probabilities = 0.5 + 0.5 * np.tanh(logits / temperature / 2.0)
    return np.asarray(probabilities, dtype=logits.dtype)
