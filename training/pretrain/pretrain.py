"""G2D pre-training: radiographs and their reports, trained on the losses of `objective`.

cache -> pairs of image and report -> augmentation on the device -> losses -> trainer
"""

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
from training.data.augmentation.augment import augment
from training.data.batches.statements import draw, facts_of, truth_table
from training.data.cache.cache import Cache
from training.data.cache.enough_rows import check_enough
from training.data.cache.row_counts import count_rows, write_counts
from training.data.rows.reader import Row
from training.data.sampling.row_groups import balanced_order, members_of
from training.data.sampling.sampler import (
    MicroBatchIndex,
    Sampler,
    share,
    steps_per_epoch,
    window_of,
)
from training.data.shards.open_rows import open_rows
from training.data.text.synthetic_reports import report, text_ids
from training.data.text.token_lengths import token_counts
from training.engine import trainer
from training.engine.checkpoint import CHECKPOINT, read_checkpoint
from training.engine.distributed import launch
from training.engine.model_selection import ModelSelector
from training.engine.seeding import batch_seed, rank_seed, seed_everything
from training.engine.start_checks import check_start
from training.model.text_encoder import LowerStates, Tokens, build_tokenizer, tokenize
from training.model.weight_sources import check_sources
from training.pretrain.frozen_text import KeptText, keep_frozen_text
from training.pretrain.objective import Pretraining, Statements
from training.pretrain.panels import draw_panel
from training.pretrain.validation import RetrievalValidation, validation_rows
from training.refusal import RunRefused

SILENT = "without_text.csv"
"""File in the run folder that names the radiographs without any text."""
_NO_VALIDATION = "no row of the validation split has a text"


@dataclass(frozen=True)
class Pairs:
    """One micro-batch of one process.

    Attributes:
        images: B x 1 x S x S uint8.
        tokens: tokens of the B reports, padded to the longest, or the output of the frozen
            text layers for them, if it is kept.
        text_ids: B int64, equal for reports that say the same; None if all count as different.
        statements: short statements about the images; None without any.
    """

    images: Tensor
    tokens: Tokens | LowerStates
    text_ids: Tensor | None
    statements: Statements | None = None


def load_images(cache: Cache, rows: list[int]) -> Tensor:
    """Load images as they are in the cache, B x 1 x S x S uint8."""
    return torch.from_numpy(np.stack([cache.images[i] for i in rows])).unsqueeze(1)


class PretrainTask:
    """Pairs of radiograph and report, and their losses.

    Attributes:
        config: configuration of the run.
        cache: all rows of the data sets.
        pool: training rows with a text, indices into the cache.
        silent: training rows with neither a report nor a label that a sentence is made from.
        rows: number of rows in one epoch.
        module: the module that is trained.
    """

    def __init__(
        self,
        config: PretrainConfig,
        cache: Cache,
        lengths_folder: Path,
        module: Pretraining | None = None,
    ) -> None:
        """Select the rows, and count the tokens of the reports if batches are sorted by length.

        Args:
            config: configuration of the run.
            cache: rows of the data sets; the training rows with a text take part.
            lengths_folder: folder in which the lengths of the reports are kept.
            module: the module to train; None builds it.
        """
        self.config, self.cache = config, cache
        samples = cache.samples
        train = cache.where("train")
        self.pool = [i for i in train if report(samples[i].row, random.Random(0))]
        self.silent = [samples[i].row for i in sorted(set(train) - set(self.pool))]
        members_of([samples[i] for i in self.pool], config.groups)  # none may be empty
        self.rows = len(self.pool)
        self.tokenizer = build_tokenizer(config.model.text)
        self.lengths = None
        if config.engine.bucket > 1:
            reports = (report(samples[i].row, random.Random(0)) for i in self.pool)
            texts = [r.text for r in reports if r]
            longest = config.model.text.max_tokens
            self.lengths = token_counts(self.tokenizer, texts, longest, lengths_folder)
        self.module = module or Pretraining(config)
        self.kept_text: KeptText | None = None

    def loader(self, world: int) -> Callable[[MicroBatchIndex], Pairs]:
        """Return the function from the index of a micro-batch to its pairs.

        Reports are drawn for the joined batch of all processes, and then shared out.
        """
        config, engine = self.config, self.config.engine
        joined = config.batch_size * world
        samples = self.cache.samples
        draw = balanced_order([samples[i] for i in self.pool], config.groups, config.seed)
        window = window_of(self.cache.shard_of, config.data.window_shards)
        sampler = Sampler(
            self.pool,
            joined,
            config.seed,
            engine.accumulate,
            engine.bucket,
            self.lengths,
            draw,
            window,
        )
        lock = Lock()  # the tokenizer holds its padding as state

        def load(index: MicroBatchIndex) -> Pairs:
            rows = sampler.rows(index)
            rng = random.Random(batch_seed(config.seed, index.number))
            drawn = [report(self.cache.samples[i].row, rng) for i in rows]
            own = share(rows, index)
            reports = [r for i in own if (r := drawn[i])]
            with lock:
                tokens = self._encoder_input([r.text for r in reports])
                statements = self._statements([rows[i] for i in own], index)
            ids = text_ids(reports) if config.same_text_is_positive else None
            images = load_images(self.cache, [rows[i] for i in own])
            return Pairs(images, tokens, ids, statements)

        return load

    def _statements(self, rows: Sequence[int], index: MicroBatchIndex) -> Statements | None:
        """Draw statements about the rows of this process; None without any."""
        config = self.config
        if not config.sentences.wanted:
            return None
        seed = rank_seed(batch_seed(config.seed, index.number), index.rank)
        facts = [facts_of(self.cache, row) for row in rows]
        drawn = draw(facts, config.sentences, random.Random(seed))
        if not drawn:
            return None
        texts = [statement.text for statement in drawn]
        tokens = tokenize(self.tokenizer, texts, config.model.text.max_tokens)
        return Statements(tokens, torch.from_numpy(truth_table(facts, drawn)))

    def _encoder_input(self, texts: Sequence[str]) -> Tokens | LowerStates:
        if self.kept_text is not None:
            return self.kept_text.states(texts)
        text = self.config.model.text
        return tokenize(self.tokenizer, texts, text.max_tokens, text.padding, text.pad_to_multiple)

    def keep_frozen_text(self, fabric: Fabric, folder: Path) -> None:
        """Compute the output of the frozen text layers for the reports of the training rows.

        Args:
            fabric: launched processes, which share the work.
            folder: folder of the caches.

        Raises:
            RunRefused: a row has no report of its own, or the output is too large.
        """
        config, rows = self.config, [self.cache.samples[i].row for i in self.pool]
        texts = [row.text for row in rows if row.text]
        if len(texts) < len(rows):
            raise RunRefused(
                f"frozen_text_gb: {len(rows) - len(texts)} of {len(rows)} rows have no report;"
                " the sentences made from their labels differ in every step"
            )
        self.kept_text = keep_frozen_text(
            fabric,
            self.module.g2d.lm_model,
            self.tokenizer,
            texts,
            config.model.text,
            config.frozen_text_gb,
            folder,
        )

    def losses(
        self, model: Callable[..., dict[str, Tensor]], batch: Pairs, index: MicroBatchIndex
    ) -> trainer.Losses:
        """Augment the images on the device and return the losses of `Pretraining`."""
        seed = rank_seed(batch_seed(self.config.seed, index.number), index.rank)
        generator = torch.Generator().manual_seed(seed)
        images = batch.images.float() / 255
        augmented = augment(images, None, self.config.augment, generator).images
        # A number that changes with each step would be compiled again.
        step = min(index.step, self.config.decoder_loss_from_step)
        return model(augmented, batch.tokens, batch.text_ids, step, batch.statements)

    def panel(self, batch: Pairs) -> Tensor | None:
        """Return image, attention, pseudo mask and prediction of the first rows."""
        return draw_panel(self.module, batch.images[:4].float() / 255)

    def selector(self, fabric: Fabric) -> ModelSelector | None:
        """Return the selection of the best weights.

        None without a configured one, or if nothing can be validated, which the first process of
        `fabric` then says.
        """
        config, choose = self.config, self.config.choose
        if choose is None:
            return None
        rows = validation_rows(config, self.cache)
        if not rows or config.engine.strategy == "fsdp":
            reason = "no process has whole weights under fsdp" if rows else _NO_VALIDATION
            if fabric.is_global_zero:
                print(f"not validated: {reason}")
            return None
        # A tokenizer of its own: worker threads change the padding of the other one.
        tokenizer = build_tokenizer(config.model.text)
        validation = RetrievalValidation(config, self.cache, tokenizer, self.module, rows)
        step = config.batch_size * fabric.world_size * config.engine.accumulate
        every = choose.every or steps_per_epoch(self.rows, step)
        return ModelSelector(choose, validation.measure, every)


def pretrain(config: PretrainConfig, out: Path, cache_folder: Path) -> Path:
    """Run or resume a pre-training.

    Args:
        config: configuration of the run.
        out: folder of the run.
        cache_folder: folder of preprocessed radiographs.

    Returns:
        The path of its last checkpoint.

    Raises:
        RunRefused: the run cannot start as configured; nothing was written.
    """
    check_start(config, out, cache_folder)
    check_sources(config.model)
    fabric = launch(config.engine, config.precision)
    seed_everything(config.seed)
    task = prepare_task(config, fabric, cache_folder, out)
    step = config.batch_size * fabric.world_size * config.engine.accumulate
    steps_per_epoch(task.rows, step)  # fewer rows than a step needs: refused, nothing is written
    if fabric.is_global_zero:
        write_silent(task.silent, out)
        write_counts(out, count_rows(task.cache))
    trainer.train(config, fabric, task, out, task.selector(fabric))
    return out / CHECKPOINT


def write_silent(rows: Sequence[Row], out: Path) -> None:
    """Print the number of radiographs without any text, and list them in the run folder."""
    if not rows:
        return
    out.mkdir(parents=True, exist_ok=True)
    with (out / SILENT).open("w", newline="") as file:
        csv.writer(file).writerows([("table", "image"), *((r.table, r.image) for r in rows)])
    print(f"left out, neither report nor known label: {len(rows)}, named in {out / SILENT}")


def prepare_task(
    config: PretrainConfig, fabric: Fabric, cache_folder: Path, out: Path
) -> PretrainTask:
    """Build the task; the first process builds the cache while the others wait.

    Args:
        config: configuration of the run.
        fabric: launched processes.
        cache_folder: folder of preprocessed radiographs.
        out: folder of the run, which may hold a checkpoint to resume from.

    Raises:
        RunRefused: the tables list fewer rows with a text than one step needs.
    """
    data, spec = config.data, config.preprocess
    if fabric.is_global_zero:
        step = config.batch_size * fabric.world_size * config.engine.accumulate
        check_enough(data, spec, cache_folder, step, _has_text)
    module = Pretraining(config)  # before the cache, which may take hours: it may be refused
    with fabric.rank_zero_first():
        cache = open_rows(config, cache_folder)
        task = PretrainTask(config, cache, cache_folder, module)
    if config.frozen_text_gb:
        _restore_text_encoder(module, out)
        task.keep_frozen_text(fabric, cache_folder)
    return task


def _restore_text_encoder(module: Pretraining, out: Path) -> None:
    """Load the text encoder of the checkpoint from which a run resumes, if there is one.

    The files that `model.text.name` stands for may have changed since the run began. What is kept
    of the frozen layers has to be the output of the weights that the run goes on with.
    """
    if not (out / CHECKPOINT).is_file():
        return
    prefix, saved = "g2d.lm_model.", read_checkpoint(out / CHECKPOINT).weights
    module.g2d.lm_model.load_state_dict(
        {k.removeprefix(prefix): v for k, v in saved.items() if k.startswith(prefix)}
    )


def _has_text(row: Row) -> bool:
    return report(row, random.Random(0)) is not None
