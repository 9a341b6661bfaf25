"""One figure of the ablation: a head trained on a fraction of the labels, chosen, then measured.

Encoded (a frozen encoder's features of every row) -> train at a fraction -> choose on valid
                                                   -> measure on test, once
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import segmentation_models_pytorch as smp
import torch

from training.config.ablation import AblationConfig, ProbeConfig
from training.data.cache.cache import Cache
from training.data.cache.sample_index import Sample
from training.data.rows.label_subsets import labelled_subset
from training.data.rows.labels import truth
from training.data.rows.masks import LUNGS
from training.experiments.probe_classify import Labelled, measure_auroc, train_linear
from training.experiments.probe_segment import (
    Annotated,
    DecoderProbe,
    annotated,
    measure_dice,
    train_decoder,
)
from training.finetune.frozen_features import encode_rows

FINDING = "Pneumonia"


@dataclass(frozen=True)
class Found:
    """A figure and how it came about.

    Attributes:
        value: Dice or AUROC on test, measured once.
        valid: the same on validation, by which `step` was chosen.
        step: at which the head stood.
        labels, patients: training images and patients whose labels were used.
        test: images measured.
    """

    value: float
    valid: float
    step: int
    labels: int
    patients: int
    test: int


class Encoded:
    """The rows of every table and split, and the frozen encoder's features of them."""

    def __init__(self, config: AblationConfig, cache: Cache, unet: smp.Unet) -> None:
        """Encode whatever the probes of the configuration read, each radiograph once."""
        self.cache = cache
        with_maps = self._rows(config.segment.tables, has_lungs)
        without = sorted(set(self._rows(config.classify.tables, has_finding)) - set(with_maps))
        spec = config.pretrain.preprocess
        self._maps = encode_rows(unet, cache, with_maps, spec, maps=True)
        self._deep = dict(zip(with_maps, self._maps.deep, strict=True))
        if without:
            plain = encode_rows(unet, cache, without, spec, maps=False)
            self._deep |= dict(zip(without, plain.deep, strict=True))

    def annotated(self, table: str, split: str) -> Annotated:
        """Radiographs of one split with masks of both lungs."""
        rows = self._split(table, split, has_lungs)
        return annotated(self._maps, self.cache, rows)

    def labelled(self, table: str, split: str) -> Labelled:
        """Radiographs of one split that are known to have the finding or not."""
        rows = self._split(table, split, has_finding)
        positive = [truth(self.cache.samples[row].row)[FINDING] for row in rows]
        return Labelled(
            tuple(rows), torch.stack([self._deep[row] for row in rows]), np.array(positive)
        )

    def patients(self, rows: Sequence[int]) -> list[str]:
        """Patient of each row."""
        return [self.cache.samples[row].row.patient_id for row in rows]

    def _rows(self, tables: Sequence[str], known: Callable[[Sample], bool]) -> list[int]:
        samples = enumerate(self.cache.samples)
        return [i for i, s in samples if s.row.table in tables and known(s)]

    def _split(self, table: str, split: str, known: Callable[[Sample], bool]) -> list[int]:
        rows = self._rows((table,), known)
        found = [i for i in rows if self.cache.samples[i].row.split == split]
        if not found:
            raise ValueError(f"{table} has no {split} row to probe with")
        return found


def has_lungs(sample: Sample) -> bool:
    """Whether both lungs are annotated."""
    return set(LUNGS) <= sample.known


def has_finding(sample: Sample) -> bool:
    """Whether the finding is known to be present or absent."""
    return FINDING in truth(sample.row)


def probe_linear(
    config: ProbeConfig, encoded: Encoded, table: str, fraction: float, seed: int
) -> Found:
    """AUROC of pneumonia with a linear layer."""
    train, valid, test = (encoded.labelled(table, s) for s in ("train", "valid", "test"))
    patients = encoded.patients(train.rows)
    labels = labelled_subset(patients, train.positive.tolist(), fraction, seed)
    chosen = train_linear(config, train, labels, valid, seed)
    seen = len({patients[i] for i in labels})
    value = measure_auroc(chosen.head, test)
    return Found(value, chosen.valid, chosen.step, len(labels), seen, len(test.rows))


def probe_decoder(
    config: ProbeConfig,
    probe: DecoderProbe,
    encoded: Encoded,
    table: str,
    fraction: float,
    seed: int,
) -> Found:
    """Dice of both lungs with a decoder."""
    train, valid, test = (encoded.annotated(table, s) for s in ("train", "valid", "test"))
    patients = encoded.patients(train.rows)
    labels = labelled_subset(patients, [True] * len(patients), fraction, seed)
    chosen = train_decoder(config, probe, train, labels, valid, seed)
    seen = len({patients[i] for i in labels})
    value = measure_dice(chosen.probe, test)
    return Found(value, chosen.valid, chosen.step, len(labels), seen, len(test.rows))
