"""Linear classification on a frozen encoder: one layer on the mean of its deepest map.

features of train -> standardised -> linear layer, the step of best validation AUROC
                                  -> AUROC on test, measured once
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from training.config.ablation import ProbeConfig
from training.data.batches.sampler import batch_rows
from training.engine import seeding
from training.metrics import auroc


@dataclass(frozen=True)
class Labelled:
    """Features and whether the finding is present, of one split.

    Attributes:
        rows: indices into the cache.
        deep: N x C.
        positive: N bool.
    """

    rows: tuple[int, ...]
    deep: Tensor
    positive: NDArray[np.bool_]


@dataclass(frozen=True)
class Chosen:
    """A trained head and what it was chosen by.

    Attributes:
        head: in evaluation mode.
        step: at which it stood.
        valid: its metric on the validation split.
    """

    head: nn.Module
    step: int
    valid: float


class LinearProbe(nn.Module):
    """Standardise, then one linear layer; as a whole still a linear layer."""

    mean: Tensor
    scale: Tensor

    def __init__(self, unlabelled: Tensor) -> None:
        """Args: unlabelled: N x C features whose mean and spread standardise; no label is used."""
        super().__init__()
        self.register_buffer("mean", unlabelled.mean(dim=0))
        self.register_buffer("scale", unlabelled.std(dim=0).clamp_min(1e-6))
        self.linear = nn.Linear(unlabelled.shape[1], 1)

    def forward(self, deep: Tensor) -> Tensor:
        """N x C -> N logits."""
        logits: Tensor = self.linear((deep - self.mean) / self.scale)
        return logits.squeeze(1)


def train_linear(
    config: ProbeConfig,
    train: Labelled,
    labels: Sequence[int],
    valid: Labelled,
    seed: int,
) -> Chosen:
    """Train on the labelled rows; keep the step of best validation AUROC, the first of equals.

    Args:
        config: of the probe.
        train: every training row; its features standardise, whether labelled or not.
        labels: positions in `train` whose labels may be used.
        valid: to choose the step.
        seed: of the start and the order.
    """
    seeding.seed_everything(seed)
    head = LinearProbe(train.deep)
    optimiser = torch.optim.AdamW(head.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    truth = torch.from_numpy(train.positive).float()
    batch = min(config.batch_size, len(labels))
    best = Chosen(head, 0, -1.0)
    state = {k: v.clone() for k, v in head.state_dict().items()}
    for step in range(config.steps):
        rows = batch_rows(labels, batch, step, seed)
        loss = F.binary_cross_entropy_with_logits(head(train.deep[rows]), truth[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if (step + 1) % config.choose_every == 0 or step + 1 == config.steps:
            found = measure_auroc(head, valid)
            if found > best.valid:
                best = Chosen(head, step + 1, found)
                state = {k: v.clone() for k, v in head.state_dict().items()}
    head.load_state_dict(state)
    return best


@torch.no_grad()
def measure_auroc(head: nn.Module, split: Labelled) -> float:
    """AUROC of one split; NaN with one class only."""
    scores = head(split.deep).double().numpy()
    return auroc(scores, split.positive)
