"""Probes of a frozen encoder: a linear layer for one finding, a U-Net decoder for masks.

U-Net -> features of every row, computed once (`EncodedTables`)
      -> a head trained on a fraction of the labels, its step chosen on the validation split
      -> measured once on the test split
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from radiograph.preprocess import PreprocessSpec
from training.config.experiments import ProbeConfig, Task
from training.data.annotations.mask_planes import repack
from training.data.batches.collate import counted, structure
from training.data.cache.cache import Cache
from training.data.cache.sample_index import Sample
from training.data.rows.dataset_files import DataError
from training.data.rows.label_subsets import labelled_subset
from training.data.sampling.sampler import batch_rows
from training.engine import seeding
from training.experiments.result_store import Measured, ProbeTraining
from training.finetune.frozen_features import BATCH, EncodedRows, encode_rows
from training.heads.segmentation import SegmentHead
from training.losses.segmentation import known_mask_loss
from training.metrics import auroc, dice
from training.model.image_encoder import restart_decoder

Head = TypeVar("Head", bound=nn.Module)


ProbeFigure = tuple[Measured, ProbeTraining]
"""Figure of the test split, and the training of the probe that it belongs to."""


@dataclass(frozen=True)
class LabelledFeatures:
    """Features of one split and the truth of one finding.

    Attributes:
        rows: indices into the cache.
        deep: N x C float32, the mean of the deepest map.
        positive: N bool.
    """

    rows: tuple[int, ...]
    deep: Tensor
    positive: NDArray[np.bool_]


@dataclass(frozen=True)
class AnnotatedFeatures:
    """Features and masks of one split.

    Attributes:
        features: features with their maps, of these rows and possibly of others.
        rows: rows of the split, indices into the cache.
        places: positions of the rows in `features`.
        bits: N x P x S x S uint8, the masks of the structures (`rows.mask_planes`).
        structures: structures whose mask every row has; one output map each.
    """

    features: EncodedRows
    rows: tuple[int, ...]
    places: Tensor
    bits: Tensor
    structures: tuple[str, ...]

    def maps(self, positions: Sequence[int]) -> list[Tensor]:
        """Return the decoder's inputs of some rows."""
        return self.features.decoder_input(self.places[torch.as_tensor(positions)])

    def masks(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return masks B x K x S x S and annotated pixels B x 1 x S x S of some rows."""
        planes = self.bits[torch.as_tensor(positions)]
        masks = [structure(planes, self.structures, name) for name in self.structures]
        return torch.stack(masks, dim=1).float(), counted(planes)

    def spread(self, limit: int | None) -> list[int]:
        """Return all positions, or `limit` of them, evenly spread."""
        count = len(self.rows)
        if limit is None or limit >= count:
            return list(range(count))
        return [i * count // limit for i in range(limit)]


def annotated_features(
    features: EncodedRows, cache: Cache, rows: Sequence[int], structures: Sequence[str]
) -> AnnotatedFeatures:
    """Join features with masks; each row must have a mask of every structure."""
    planes = repack(np.stack([cache.masks[row] for row in rows]), cache.structures, structures)
    places = features.positions(rows)
    return AnnotatedFeatures(
        features, tuple(rows), places, torch.from_numpy(planes), (*structures,)
    )


class EncodedTables:
    """Features that a frozen encoder gives for every row of the probed tasks, each row once."""

    def __init__(
        self, cache: Cache, unet: smp.Unet, spec: PreprocessSpec, tasks: Iterable[Task]
    ) -> None:
        """Encode the rows that the tasks use.

        Args:
            cache: radiographs of every table.
            unet: its encoder is used, in evaluation mode.
            spec: preprocessing of the cache.
            tasks: tasks of kind `classify` or `segment`.
        """
        self.cache = cache
        rows: dict[str, set[int]] = {"segment": set(), "classify": set()}
        for task in tasks:
            rows[task.kind].update(self._rows(task))
        # The pyramid of maps is large: it is kept only of the rows that a decoder reads.
        with_maps = sorted(rows["segment"])
        without = sorted(rows["classify"] - rows["segment"])
        self._deep: dict[int, Tensor] = {}
        if with_maps:
            self._maps = encode_rows(unet, cache, with_maps, spec, maps=True)
            self._deep |= dict(zip(with_maps, self._maps.deep, strict=True))
        if without:
            plain = encode_rows(unet, cache, without, spec, maps=False)
            self._deep |= dict(zip(without, plain.deep, strict=True))

    def annotated(self, task: Task, split: str) -> AnnotatedFeatures:
        """Return the radiographs of one split with masks of every label of the task."""
        rows = self._split(task, split)
        return annotated_features(self._maps, self.cache, rows, task.labels)

    def labelled(self, task: Task, split: str) -> LabelledFeatures:
        """Return the radiographs of one split whose finding is known to be present or absent."""
        rows, (finding,) = self._split(task, split), task.labels
        positive = [self.cache.samples[row].row.findings[finding] for row in rows]
        deep = torch.stack([self._deep[row] for row in rows])
        return LabelledFeatures(tuple(rows), deep, np.array(positive))

    def patients(self, rows: Sequence[int]) -> list[str]:
        """Return the patient of each row."""
        return [self.cache.samples[row].row.patient_id for row in rows]

    def _rows(self, task: Task) -> list[int]:
        samples = enumerate(self.cache.samples)
        return [i for i, s in samples if s.row.table == task.data and _has_labels(task, s)]

    def _split(self, task: Task, split: str) -> list[int]:
        rows = [i for i in self._rows(task) if self.cache.samples[i].row.split == split]
        if not rows:
            raise DataError(f"{task.data} has no {split} row to probe with")
        return rows


def _has_labels(task: Task, sample: Sample) -> bool:
    """Return whether everything that the task asks about is known of a radiograph."""
    known = sample.known if task.kind == "segment" else sample.row.findings
    return set(task.labels) <= set(known)


def probe_linear(
    config: ProbeConfig, encoded: EncodedTables, task: Task, fraction: float, seed: int
) -> ProbeFigure:
    """Return the AUROC of a finding with a linear layer.

    Raises:
        DataError: a split has no radiograph whose finding is known.
    """
    train, valid, test = (encoded.labelled(task, s) for s in ("train", "valid", "test"))
    patients = encoded.patients(train.rows)
    labels = labelled_subset(patients, train.positive.tolist(), fraction, seed)
    chosen = train_linear(config, train, labels, valid, seed)
    figure = Measured(measure_auroc(chosen.head, test), None, None, len(test.rows))
    return figure, _training(chosen, [patients[i] for i in labels])


def probe_decoder(
    config: ProbeConfig,
    encoded: EncodedTables,
    probe: "DecoderProbe",
    task: Task,
    fraction: float,
    seed: int,
) -> ProbeFigure:
    """Return the Dice of the task's structures with a decoder.

    Raises:
        DataError: a split has no radiograph with a mask of every structure.
    """
    train, valid, test = (encoded.annotated(task, s) for s in ("train", "valid", "test"))
    patients = encoded.patients(train.rows)
    labels = labelled_subset(patients, [True] * len(patients), fraction, seed)
    chosen = train_decoder(config, probe, train, labels, valid, seed)
    figure = Measured(measure_dice(chosen.head, test), None, None, len(test.rows))
    return figure, _training(chosen, [patients[i] for i in labels])


@dataclass(frozen=True)
class Chosen(Generic[Head]):
    """A trained head with the weights of its best validation.

    Attributes:
        head: the head.
        step: number of steps after which it had these weights.
        valid: its metric on the validation split.
    """

    head: Head
    step: int
    valid: float


def _training(chosen: Chosen[Head], patients: Sequence[str]) -> ProbeTraining:
    """Describe a training; `patients` has one entry for each labelled image."""
    return ProbeTraining(chosen.valid, chosen.step, len(patients), len(set(patients)))


def _train(
    config: ProbeConfig,
    head: Head,
    labels: Sequence[int],
    seed: int,
    loss: Callable[[Sequence[int]], Tensor],
    validate: Callable[[], float],
) -> Chosen[Head]:
    """Train a head in place and restore the weights of its best validation, the first of equals.

    Args:
        config: steps, rows of a step and optimiser.
        head: head to train.
        labels: training positions that may be drawn.
        seed: seed of their order.
        loss: training positions -> loss.
        validate: returns the metric of the validation split; greater is better.
    """
    optimiser = torch.optim.AdamW(head.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    batch = min(config.batch_size, len(labels))
    best, state = Chosen(head, 0, -1.0), copy.deepcopy(head.state_dict())
    for step in range(config.steps):
        head.train()
        optimiser.zero_grad()
        loss(batch_rows(labels, batch, step, seed)).backward()
        optimiser.step()
        if (step + 1) % config.choose_every == 0 or step + 1 == config.steps:
            metric = validate()
            if metric > best.valid:
                best, state = Chosen(head, step + 1, metric), copy.deepcopy(head.state_dict())
    head.load_state_dict(state)
    head.eval()
    return best


class LinearProbe(nn.Module):
    """Standardisation and one linear layer, together still a linear function."""

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
    train: LabelledFeatures,
    labels: Sequence[int],
    valid: LabelledFeatures,
    seed: int,
) -> Chosen[LinearProbe]:
    """Train a linear layer and keep the step of the best validation AUROC, the first of equals.

    Args:
        config: training of the probe.
        train: every training row; all of its features standardise, labelled or not.
        labels: positions in `train` whose labels may be used.
        valid: rows that choose the step.
        seed: seed of the initial weights and of the order.
    """
    seeding.seed_everything(seed)
    head = LinearProbe(train.deep)
    positive = torch.from_numpy(train.positive).float()

    def loss(rows: Sequence[int]) -> Tensor:
        return F.binary_cross_entropy_with_logits(head(train.deep[rows]), positive[rows])

    return _train(config, head, labels, seed, loss, lambda: measure_auroc(head, valid))


@torch.no_grad()
def measure_auroc(head: nn.Module, split: LabelledFeatures) -> float:
    """Return the AUROC of one split; NaN if it has one class only."""
    scores = head(split.deep).double().numpy()
    return auroc(scores, split.positive)


class DecoderProbe(nn.Module):
    """A U-Net decoder on the maps of an encoder, and one convolution for the logits."""

    def __init__(self, decoder: nn.Module, structures: int) -> None:
        """Args: decoder: decoder to copy, itself left unchanged; structures: number of maps K."""
        super().__init__()
        self.decoder = copy.deepcopy(decoder).requires_grad_(requires_grad=True)
        width = [m.out_channels for m in decoder.modules() if isinstance(m, nn.Conv2d)][-1]
        self.head = SegmentHead(width, structures)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps from `EncodedRows.decoder_input` -> logits B x K x S x S."""
        logits: Tensor = self.head(self.decoder(maps))["logits"]
        return logits


def build_probe(unet: smp.Unet, structures: int, seed: int, *, transfer: bool) -> DecoderProbe:
    """Return a probe with the decoder of `unet` or with a new one; its head is always new.

    Args:
        unet: U-Net whose decoder is copied, or repeated in shape.
        structures: number of maps K.
        seed: seed of all new weights: equal seeds give equal weights for every U-Net.
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
    train: AnnotatedFeatures,
    labels: Sequence[int],
    valid: AnnotatedFeatures,
    seed: int,
) -> Chosen[DecoderProbe]:
    """Train a decoder and keep the step of the best validation Dice, the first of equals.

    Args:
        config: training of the probe.
        probe: probe to train, in place.
        train: training rows.
        labels: positions in `train` whose masks may be used.
        valid: rows that choose the step.
        seed: seed of the order.
    """
    validated = valid.spread(config.choose_on)

    def loss(rows: Sequence[int]) -> Tensor:
        masks, counted = train.masks(rows)
        known = torch.ones(masks.shape[:2], dtype=torch.bool)
        return known_mask_loss(probe(train.maps(rows)), masks, known, counted)

    def validate() -> float:
        return measure_dice(probe, valid, validated)

    return _train(config, probe, labels, seed, loss, validate)


@torch.no_grad()
def measure_dice(
    probe: DecoderProbe, split: AnnotatedFeatures, positions: Sequence[int] | None = None
) -> float:
    """Return the mean Dice over structures, then images, at probability 0.5 on the model's grid."""
    probe.eval()
    chosen = split.spread(None) if positions is None else list(positions)
    found: list[float] = []
    for start in range(0, len(chosen), BATCH):
        rows = chosen[start : start + BATCH]
        predicted = (probe(split.maps(rows)) > 0).numpy()
        masks, counted = split.masks(rows)
        found += _dice_of_each(predicted, masks.bool().numpy(), counted.bool().numpy())
    return float(np.mean(found))


def _dice_of_each(
    predicted: NDArray[np.bool_], true: NDArray[np.bool_], counted: NDArray[np.bool_]
) -> list[float]:
    """B x K x S x S masks -> the mean Dice of each image."""
    return [
        float(np.mean([dice(p, t, c[0]) for p, t in zip(maps, truths, strict=True)]))
        for maps, truths, c in zip(predicted, true, counted, strict=True)
    ]
