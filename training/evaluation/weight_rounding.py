"""Rounding of weights to the values that an export stores, so that evaluation matches serving."""

import numpy as np
import torch
from numpy.typing import NDArray

from training.finetune.module import Finetuning
from training.metrics.arrays import FloatArray

STORED_AS_HALF = 1024
"""Smallest number of elements of a tensor that is stored as float16."""


@torch.no_grad()
def round_weights(module: Finetuning) -> None:
    """Round every large weight in place: word embeddings to int8 rows, all others to float16."""
    table = module.g2d.lm_model.bert.embeddings.word_embeddings.weight
    for tensor in [*module.parameters(), *module.buffers()]:
        large = tensor.is_floating_point() and tensor.numel() >= STORED_AS_HALF
        if large and tensor is not table:
            tensor.copy_(tensor.half().float())
    rows, scale = to_int8_rows(table.numpy())
    table.copy_(torch.from_numpy(rows.astype(np.float32) * scale))


def to_int8_rows(table: FloatArray) -> tuple[NDArray[np.int8], FloatArray]:
    """Split R x D into int8 rows and R x 1 scales; their product is within half a step of it."""
    scale = np.abs(table).max(axis=1, keepdims=True) / np.float32(127)
    scale = np.where(scale > 0, scale, np.float32(1)).astype(np.float32)
    return np.rint(table / scale).clip(-127, 127).astype(np.int8), scale
