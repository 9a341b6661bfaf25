"""G2D pre-training: radiographs and their reports -> steps on the losses of `objective`."""

import csv
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor

from training.config.pretrain import PretrainConfig
from training.data.batches.augment import augment
from training.data.batches.sampler import MicroBatchIndex, Sampler, share
from training.data.cache.cache import Cache, open_cache
from training.data.rows.reader import Row
from training.data.text.synthetic_reports import report, text_ids
from training.data.text.token_lengths import token_counts
from training.engine import seeding, trainer
from training.engine.distributed import launch
from training.model.text_encoder import Tokens, build_tokenizer, tokenize
from training.pretrain.objective import Pretraining
from training.pretrain.panels import panel

SILENT = "without_text.csv"
"""In the run folder: radiographs that have nothing to be read beside them."""


@dataclass(frozen=True)
class Pairs:
    """One micro-batch of one process.

    Attributes:
        images: B x 1 x S x S uint8.
        tokens: of the B reports, padded to the longest.
        text_ids: B int64, or None where no two reports count as saying the same.
    """

    images: Tensor
    tokens: Tokens
    text_ids: Tensor | None


def load_images(cache: Cache, rows: list[int]) -> Tensor:
    """B x 1 x S x S uint8, as they lie in the cache."""
    return torch.from_numpy(np.stack([cache.images[i] for i in rows])).unsqueeze(1)


class PretrainTask:
    """Pairs of radiograph and report, and what is minimised on them."""

    def __init__(self, config: PretrainConfig, cache: Cache, lengths_folder: Path) -> None:
        """Build the model, and measure the reports where batches are sorted by length.

        Args:
            config: of the run.
            cache: whose training rows with a report take part.
            lengths_folder: where the reports' lengths are kept.
        """
        self.config, self.cache = config, cache
        samples = cache.samples
        train = cache.where("train")
        self.pool = [i for i in train if report(samples[i].row, random.Random(0))]
        self.silent = [samples[i].row for i in sorted(set(train) - set(self.pool))]
        """Training rows with neither a report nor a label that a sentence is made from."""
        self.rows = len(self.pool)
        self.tokenizer = build_tokenizer(config.model.text)
        self.lengths = None
        if config.engine.bucket > 1:
            reports = (report(samples[i].row, random.Random(0)) for i in self.pool)
            texts = [r.text for r in reports if r]
            longest = config.model.text.max_tokens
            self.lengths = token_counts(self.tokenizer, texts, longest, lengths_folder)
        self.module = Pretraining(config)

    def loader(self, world: int) -> Callable[[MicroBatchIndex], Pairs]:
        """A turn -> its pairs; reports are drawn for the joined batch, then shared out."""
        config, engine = self.config, self.config.engine
        joined = config.batch_size * world
        sampler = Sampler(
            self.pool, joined, config.seed, engine.accumulate, engine.bucket, self.lengths
        )
        lock = Lock()  # the tokenizer keeps its padding in itself

        def load(turn: MicroBatchIndex) -> Pairs:
            rows = sampler.rows(turn)
            rng = random.Random(_seed(config, turn))
            drawn = [report(self.cache.samples[i].row, rng) for i in rows]
            mine = share(rows, turn)
            reports = [r for i in mine if (r := drawn[i])]
            with lock:
                texts, text = [r.text for r in reports], config.model.text
                tokens = tokenize(self.tokenizer, texts, text.max_tokens, text.padding)
            ids = text_ids(reports) if config.same_text_is_positive else None
            return Pairs(load_images(self.cache, [rows[i] for i in mine]), tokens, ids)

        return load

    def losses(
        self, model: Callable[..., dict[str, Tensor]], batch: Pairs, turn: MicroBatchIndex
    ) -> trainer.Losses:
        """Augment on the device, then the losses of `Pretraining`."""
        seed = _seed(self.config, turn) + _RANKS_APART * turn.rank
        generator = torch.Generator().manual_seed(seed)
        images = batch.images.float() / 255
        changed = augment(images, None, self.config.augment, generator).images
        return model(changed, batch.tokens, batch.text_ids, turn.step)

    def picture(self, batch: Pairs) -> Tensor | None:
        """Image, attention, pseudo mask and prediction of the first rows."""
        return panel(self.module, batch.images[:4].float() / 255)


_RANKS_APART = 1_000_000_007
"""So that no two processes augment alike."""


def _seed(config: PretrainConfig, turn: MicroBatchIndex) -> int:
    return config.seed * 1_000_003 + turn.number


def pretrain(config: PretrainConfig, out: Path, cache_folder: Path) -> Path:
    """Run or resume a pre-training; gives the path of its last checkpoint."""
    fabric = launch(config.engine, config.precision)
    seeding.seed_everything(config.seed)
    task = prepared(config, fabric, cache_folder)
    if fabric.is_global_zero:
        name_silent(task.silent, out)
    return trainer.train(config, fabric, task, out)


def name_silent(rows: Sequence[Row], out: Path) -> None:
    """Count the radiographs without any text on the terminal, and name them in the run folder."""
    if not rows:
        return
    out.mkdir(parents=True, exist_ok=True)
    with (out / SILENT).open("w", newline="") as file:
        csv.writer(file).writerows([("table", "image"), *((r.table, r.image) for r in rows)])
    print(f"left out, neither report nor known label: {len(rows)}, named in {out / SILENT}")


def prepared(config: PretrainConfig, fabric: Fabric, cache_folder: Path) -> PretrainTask:
    """The task of a configuration; the first process builds the cache, the others wait."""
    with fabric.rank_zero_first():
        cache = open_cache(config.data, config.preprocess, cache_folder)
        return PretrainTask(config, cache, cache_folder)
