"""Fine-tuning: heads on the G2D trunk, trained together so that one pass serves them all.

checkpoint of a pre-training -> G2D + heads -> sum of the heads' losses
                                               (+ the image-report loss, for the alignment)
"""

import random
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock

import torch
from torch import Tensor

from training.config.augmentation import Augmentation, NoAugmentConfig
from training.config.finetune import FinetuneConfig
from training.data.batches.collate import load_batch
from training.data.batches.known_labels import (
    codes_of,
    refuse_unknown_labels,
    refuse_unread_labels,
)
from training.data.batches.presence_balance import (
    PresenceWeights,
    balanced_presence,
    weigh_presence,
)
from training.data.batches.region_targets import region_targets
from training.data.cache.cache import Cache
from training.data.cache.enough_rows import check_enough, check_tables
from training.data.cache.row_counts import count_rows, write_counts
from training.data.sampling.row_groups import balanced_order, members_of
from training.data.sampling.row_selection import is_labelled, training_pool
from training.data.sampling.sampler import MicroBatchIndex, Sampler, share, window_of
from training.data.shards.open_rows import open_rows
from training.data.text.phrases.grounding_phrases import Phrase, draw
from training.data.text.synthetic_reports import report, text_ids
from training.engine import trainer
from training.engine.distributed import launch
from training.engine.model_selection import ModelSelector
from training.engine.seeding import batch_seed, rank_seed, seed_everything
from training.engine.start_checks import check_start
from training.finetune.frozen_features import MAX_BYTES, EncodedRows, bytes_per_image, encode_rows
from training.finetune.initial_weights import load_pretrained, repeated_rows
from training.finetune.module import FinetuneBatch, Finetuning, ReportBatch
from training.finetune.parts.checks import finetune_checks
from training.finetune.parts.words import finetune_words
from training.finetune.taught_masks import check_teacher, with_taught_masks
from training.finetune.validation import validate
from training.heads.head import HeadsBatch
from training.model.text_encoder import NO_TOKENS, Tokens, build_tokenizer, tokenize
from training.refusal import RunRefused

COUNTED_BATCHES = 300
"""Number of batches by which the presence of concepts is balanced."""


class FinetuneTask:
    """Radiographs with everything that is known about them, and the losses of the heads.

    Attributes:
        config: configuration of the run.
        cache: all rows of the data sets.
        pool: rows of one epoch, indices into the cache.
        module: the module that is trained.
    """

    def __init__(
        self, config: FinetuneConfig, cache: Cache, module: Finetuning | None = None
    ) -> None:
        """Select the training rows.

        Args:
            config: configuration of the run.
            cache: rows of the data sets of the run.
            module: the module to train, with its initial weights; None builds it.
        """
        if config.teacher is not None:
            cache = with_taught_masks(cache, config.teacher, config.seed)
        self.config, self.cache = config, cache
        self.pool = training_pool(cache, config)
        members_of([cache.samples[i] for i in self.pool], config.groups)  # none may be empty
        self.module: Finetuning = module or load_pretrained(config)
        self.tokenizer, self._lock = build_tokenizer(self.module.model.text), Lock()
        self._encoded: EncodedRows | None = None
        self._presence: Mapping[str, PresenceWeights] = {}

    @property
    def rows(self) -> int:
        """Number of rows in one epoch."""
        return len(self.pool)

    def repeat_pool(self, rows: int) -> None:
        """Repeat the pool until it has at least the given number of rows."""
        self.pool *= max(1, -(-rows // len(self.pool)))

    def loader(self, world: int) -> Callable[[MicroBatchIndex], FinetuneBatch]:
        """Return the function from the index of a micro-batch to the batch with all targets.

        Phrases and reports are drawn for the joined batch of all processes.
        """
        config = self.config
        joined = config.batch_size * world
        window = window_of(self.cache.shard_of, config.data.window_shards)
        samples, accumulate = self.cache.samples, config.engine.accumulate
        draw = balanced_order([samples[i] for i in self.pool], config.groups, config.seed)
        sampler = Sampler(self.pool, joined, config.seed, accumulate, draw=draw, window=window)
        self.encode(self.pool)
        if config.regions and config.balance_presence:
            self._presence = self._balanced_presence(sampler, accumulate)

        def load(index: MicroBatchIndex) -> FinetuneBatch:
            seed = batch_seed(config.seed, index.number)
            joined_rows = sampler.rows(index)
            own = share(joined_rows, index)
            return self.batch(joined_rows, own, config.augment, seed, index.rank)

        return load

    def batch(
        self,
        joined: Sequence[int],
        own: Sequence[int],
        augmentation: Augmentation,
        seed: int,
        rank: int,
    ) -> FinetuneBatch:
        """Load the rows of one process with all targets.

        Args:
            joined: rows of the joined batch of all processes, indices into the cache.
            own: positions in it of the rows of this process.
            augmentation: augmentation of the images.
            seed: seed of the phrases and reports, which are the same on all processes, and
                together with `rank` of the augmentation.
            rank: number of this process.
        """
        config, rng = self.config, random.Random(seed)
        phrases = self._phrases(joined, rng)
        drawn = [report(self.cache.samples[i].row, rng) for i in joined if config.aligns]
        rows = [joined[i] for i in own]
        labels = (config.findings, config.masks, config.boxes)
        image_seed = rank_seed(seed, rank)
        radiographs = load_batch(self.cache, rows, labels, augmentation, image_seed)
        samples = [self.cache.samples[i] for i in rows]
        regions = region_targets(samples, radiographs, phrases, config.preprocess.size_px // 4)
        regions = weigh_presence(regions, phrases, self._presence)
        heads = self.module.trained_heads.items()
        targets = {name: head.targets(radiographs) for name, head in heads}
        labelled = HeadsBatch(
            radiographs, self._tokens([p.text for p in phrases]), regions, targets
        )
        reports = [(n, r) for n, i in enumerate(own) if config.aligns and (r := drawn[i])]
        tokens = self._tokens([r.text for _, r in reports])
        ids = text_ids([r for _, r in reports])
        encoded = self._encoded.select(rows) if self._encoded else None
        positions = torch.tensor([n for n, _ in reports], dtype=torch.long)
        sources = torch.tensor([self._sources[sample.row.table] for sample in samples])
        return FinetuneBatch(labelled, ReportBatch(positions, tokens, ids), sources, encoded)

    @cached_property
    def _sources(self) -> Mapping[str, int]:
        """Number of each data set."""
        names = dict.fromkeys(sample.row.table for sample in self.cache.samples)
        return {name: number for number, name in enumerate(names)}

    def _phrases(self, joined: Sequence[int], rng: random.Random) -> list[Phrase]:
        """Draw the phrases of a joined batch."""
        if not self.config.regions:
            return []
        drawn_findings = {name for i in joined for name, _ in self.cache.samples[i].boxes}
        return draw(self.config.phrases_per_batch, rng, drawn_findings)

    def _balanced_presence(
        self, sampler: Sampler, accumulate: int
    ) -> Mapping[str, PresenceWeights]:
        """Count the first batches of the run, without their images."""
        numbers = range(COUNTED_BATCHES)
        indices = [MicroBatchIndex(*divmod(n, accumulate), accumulate) for n in numbers]
        joined = [sampler.rows(index) for index in indices]
        seeds = [batch_seed(self.config.seed, index.number) for index in indices]
        return balanced_presence(
            ([self.cache.samples[i].row for i in rows], self._phrases(rows, random.Random(seed)))
            for rows, seed in zip(joined, seeds, strict=True)
        )

    def _tokens(self, texts: Sequence[str]) -> Tokens:
        if not texts:
            return NO_TOKENS
        with self._lock:  # the tokenizer holds its padding as state
            return tokenize(self.tokenizer, texts, self.module.model.text.max_tokens)

    def encode(self, rows: Sequence[int]) -> None:
        """Run a frozen encoder once over the given rows and those of the validation.

        Nothing is kept if augmentation changes the images, or if the maps would take more than
        `MAX_BYTES`; the encoder then runs in every step.
        """
        config, unet = self.config, self.module.g2d.img_model
        if not config.freezes_encoder or config.augment.kind != "none" or self._encoded:
            return
        needed = sorted(set(rows) | set(self.validation_rows))
        # The decoder reads every map, a detector those from stride 8 on.
        maps, first_stride = self.module.reads_maps, 2 if self.module.decodes else 8
        size = bytes_per_image(unet, config.preprocess.size_px, first_stride) if maps else 0
        if size * len(needed) <= MAX_BYTES:
            self._encoded = encode_rows(
                unet, self.cache, needed, config.preprocess, maps=maps, first_stride=first_stride
            )
            self.module.train(self.module.training)  # the decoder was put into evaluation mode too

    def losses(
        self,
        model: Callable[..., dict[str, Tensor]],
        batch: FinetuneBatch,
        index: MicroBatchIndex,  # noqa: ARG002 - part of the protocol of a task
    ) -> trainer.Losses:
        """Augment the images on the device and return the losses of `Finetuning`."""
        return model(batch.images(), batch)

    def panel(self, batch: FinetuneBatch) -> Tensor | None:  # noqa: ARG002 - likewise
        """Return None: a fine-tuning logs no images."""
        return None

    @cached_property
    def validation_rows(self) -> list[int]:
        """Rows of the validation split that the run selects by, spread evenly over the split."""
        choose = self.config.choose
        if choose is None:
            return []
        rows = self.cache.where("valid")
        labelled = [i for i in rows if is_labelled(self.cache.samples[i], self.config)]
        count = min(choose.limit or len(labelled), len(labelled))
        if not labelled:
            raise RunRefused("no validation row has a label that a head of this run asks for")
        return [labelled[n * len(labelled) // count] for n in range(count)]

    def validate(self) -> float:
        """Return the value of the module on the validation split; see `ChooseConfig.by`."""
        config, rows = self.config, self.validation_rows
        size = config.batch_size
        chunks = [rows[start : start + size] for start in range(0, len(rows), size)]
        unchanged, seed = NoAugmentConfig(kind="none"), config.seed
        batches = (self.batch(chunk, range(len(chunk)), unchanged, seed, 0) for chunk in chunks)
        return validate(self.module, batches)


def finetune(config: FinetuneConfig, out: Path, cache_folder: Path) -> Path:
    """Run or resume a fine-tuning.

    Args:
        config: configuration of the run.
        out: folder of the run.
        cache_folder: folder of preprocessed radiographs.

    Returns:
        The path of its checkpoint: the best if the run selects one, else the last.

    Raises:
        RunRefused: the run cannot start as configured; nothing was written.
        MissingData: a data set is incomplete.
        DataError: the description of a data set is invalid.
    """
    check_tables(config.data)
    config = config.model_copy(update={"codes": codes_of(config)})
    check_start(config, out, cache_folder)
    if config.checks is None and config.words is None:
        check_enough(config.data, config.preprocess, cache_folder, least=1)
    refuse_unknown_labels(config)
    if config.words is not None:
        return finetune_words(config, out)
    if config.checks is not None:
        return finetune_checks(config, out)
    # Weights that no head reads, and text weights in a batch without reports, have no gradient.
    fabric = launch(config.engine, config.precision, unused_weights=True)
    seed_everything(config.seed)
    module = load_pretrained(config)  # before the cache, which may take hours: it may be refused
    if config.teacher is not None:
        check_teacher(config.teacher.run)
    if fabric.is_global_zero and (notice := repeated_rows(config)):
        print(notice)
    with fabric.rank_zero_first():
        cache = open_rows(config, cache_folder)
        task = FinetuneTask(config, cache, module)
    refuse_unread_labels(task.cache, config)
    task.repeat_pool(config.batch_size * fabric.world_size * config.engine.accumulate)
    selector = None
    if config.choose:
        _ = task.validation_rows  # refused here if there are none, not after the first steps
        by, every = config.choose.by, config.choose.every
        selector = ModelSelector(config.choose, lambda: {by: task.validate()}, every)
    if fabric.is_global_zero:
        write_counts(out, count_rows(cache))
    return trainer.train(config, fabric, task, out, selector)
