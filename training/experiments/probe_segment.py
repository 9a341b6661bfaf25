"""Segmentation on a frozen encoder: the decoder and a head are trained.

pyramid of train -> decoder (from the start, or transferred) -> one map a structure
                 -> the step of best validation Dice -> image-wise Dice on test, measured once
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import segmentation_models_pytorch as smp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.config.ablation import ProbeConfig
from training.data.batches.collate import structure
from training.data.batches.sampler import batch_rows
from training.data.cache.cache import Cache
from training.data.rows.masks import IGNORE, LUNGS
from training.engine import seeding
from training.finetune.frozen_features import BATCH, EncodedRows
from training.heads.segmentation import SegmentHead
from training.losses.segmentation import known_mask_loss
from training.metrics import dice
from training.model.image_encoder import restart_decoder


@dataclass(frozen=True)
class Annotated:
    """Features and masks of one split.

    Attributes:
        features: with their pyramid, of these rows and maybe others.
        rows: of the split, indices into the cache.
        places: where they stand in `features`.
        bits: N x S x S uint8, as the cache has them.
        structures: whose masks every row has; one map each.
    """

    features: EncodedRows
    rows: tuple[int, ...]
    places: Tensor
    bits: Tensor
    structures: tuple[str, ...]

    def maps(self, positions: Sequence[int]) -> list[Tensor]:
        """What the decoder reads, of some rows."""
        return self.features.decoder_input(self.places[torch.as_tensor(positions)])

    def masks(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Masks B x K x S x S and what counts of them, B x 1 x S x S, of some rows."""
        bits = self.bits[torch.as_tensor(positions)]
        masks = torch.stack([structure(bits, name) for name in self.structures], dim=1)
        return masks.float(), ((bits & IGNORE) == 0).unsqueeze(1).float()

    def spread(self, limit: int | None) -> list[int]:
        """All positions, or so many of them, evenly spread."""
        count = len(self.rows)
        if limit is None or limit >= count:
            return list(range(count))
        return [i * count // limit for i in range(limit)]


def annotated(
    features: EncodedRows, cache: Cache, rows: Sequence[int], structures: tuple[str, ...] = LUNGS
) -> Annotated:
    """Those rows with their masks; each must have a mask of every structure."""
    bits = torch.from_numpy(np.stack([cache.masks[row] for row in rows]))
    return Annotated(features, tuple(rows), features.positions(rows), bits, structures)


class DecoderProbe(nn.Module):
    """A U-Net decoder on given maps, and one convolution that answers."""

    def __init__(self, decoder: nn.Module, structures: int) -> None:
        """Args: decoder: copied, so that the caller's stays as it is; structures: K."""
        super().__init__()
        self.decoder = copy.deepcopy(decoder).requires_grad_(requires_grad=True)
        width = [m.out_channels for m in decoder.modules() if isinstance(m, nn.Conv2d)][-1]
        self.head = SegmentHead(width, structures)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps from `EncodedRows.decoder_input` -> logits B x K x S x S."""
        logits: Tensor = self.head(self.decoder(maps))["logits"]
        return logits


@dataclass(frozen=True)
class ChosenDecoder:
    """A trained decoder and what it was chosen by.

    Attributes:
        probe: in evaluation mode.
        step: at which it stood.
        valid: its Dice on the validation split.
    """

    probe: DecoderProbe
    step: int
    valid: float


def build_probe(unet: smp.Unet, structures: int, seed: int, *, transfer: bool) -> DecoderProbe:
    """The decoder of `unet` as it was pre-trained, or a new one; the head is always new.

    Args:
        unet: whose decoder is taken, or copied in shape.
        structures: maps to answer.
        seed: of everything new: equal seeds start equally, whatever the U-Net.
        transfer: keep the decoder's weights.
    """
    seeding.seed_everything(seed)
    probe = DecoderProbe(unet.decoder, structures)
    if not transfer:
        restart_decoder(probe.decoder)
    return probe.to(memory_format=torch.channels_last)


def train_decoder(
    config: ProbeConfig,
    probe: DecoderProbe,
    train: Annotated,
    labels: Sequence[int],
    valid: Annotated,
    seed: int,
) -> ChosenDecoder:
    """Train on the labelled rows; keep the step of best validation Dice, the first of equals.

    Args:
        config: of the probe.
        probe: trained in place.
        train: training rows.
        labels: positions in `train` whose masks may be used.
        valid: to choose the step.
        seed: of the order.
    """
    optimiser = torch.optim.AdamW(
        probe.parameters(), lr=config.lr, weight_decay=config.weight_decay
    )
    batch = min(config.batch_size, len(labels))
    looked_at = valid.spread(config.choose_on)
    best = ChosenDecoder(probe, 0, -1.0)
    state = copy.deepcopy(probe.state_dict())
    for step in range(config.steps):
        probe.train()
        rows = batch_rows(labels, batch, step, seed)
        masks, counted = train.masks(rows)
        known = torch.ones(masks.shape[:2], dtype=torch.bool)
        loss = known_mask_loss(probe(train.maps(rows)), masks, known, counted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if (step + 1) % config.choose_every == 0 or step + 1 == config.steps:
            found = measure_dice(probe, valid, looked_at)
            if found > best.valid:
                best = ChosenDecoder(probe, step + 1, found)
                state = copy.deepcopy(probe.state_dict())
    probe.load_state_dict(state)
    probe.eval()
    return best


@torch.no_grad()
def measure_dice(
    probe: DecoderProbe, split: Annotated, positions: Sequence[int] | None = None
) -> float:
    """Dice at probability 0.5 on the model's grid: of each structure and image, then the mean."""
    probe.eval()
    chosen = split.spread(None) if positions is None else list(positions)
    found: list[float] = []
    for start in range(0, len(chosen), BATCH):
        rows = chosen[start : start + BATCH]
        answer = (probe(split.maps(rows)) > 0).numpy()
        masks, counted = split.masks(rows)
        found += _dice_of_each(answer, masks.bool().numpy(), counted.bool().numpy())
    return float(np.mean(found))


def _dice_of_each(
    answer: NDArray[np.bool_], truth: NDArray[np.bool_], counted: NDArray[np.bool_]
) -> list[float]:
    """B x K x S x S maps -> the mean Dice of each image."""
    return [
        float(np.mean([dice(a, t, c[0]) for a, t in zip(maps, truths, strict=True)]))
        for maps, truths, c in zip(answer, truth, counted, strict=True)
    ]
