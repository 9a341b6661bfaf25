"""Fine-tuning: heads on the G2D trunk, trained together, so that one pass serves them all.

checkpoint of a pre-training -> G2D + heads -> sum of the heads' losses
                                          (+ the image-report loss, to keep the alignment)
"""

import random
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock

import torch
from torch import Tensor

from training.config.augmentation import Augmentation, NoAugmentConfig
from training.config.finetune import FinetuneConfig
from training.data.batches.collate import load_batch
from training.data.batches.region_targets import region_targets
from training.data.batches.row_selection import is_labelled, training_pool
from training.data.batches.sampler import MicroBatchIndex, Sampler, share
from training.data.cache.cache import Cache, open_cache
from training.data.text.grounding_phrases import draw
from training.data.text.synthetic_reports import report, text_ids
from training.engine import seeding, trainer
from training.engine.distributed import launch
from training.engine.model_selection import ModelSelector
from training.finetune.frozen_features import MOST_BYTES, Features, encode, maps_bytes
from training.finetune.module import Finetuning, HeadsBatch, ReportBatch, load_pretrained
from training.finetune.validation import validate
from training.model.text_encoder import NO_TOKENS, Tokens, build_tokenizer, tokenize


class FinetuneTask:
    """Radiographs with what is known of them, and the losses of the heads."""

    def __init__(self, config: FinetuneConfig, cache: Cache) -> None:
        """Args: config: of the run; cache: whose training rows take part."""
        self.config, self.cache = config, cache
        self.pool = training_pool(cache, config)
        self.module: Finetuning = load_pretrained(config)
        self.tokenizer, self._lock = build_tokenizer(self.module.model.text), Lock()
        self._features: Features | None = None

    @property
    def rows(self) -> int:
        """In one epoch."""
        return len(self.pool)

    def fill(self, rows: int) -> None:
        """Repeat the pool where it is smaller than a step of so many rows."""
        self.pool *= max(1, -(-rows // len(self.pool)))

    def loader(self, world: int) -> Callable[[MicroBatchIndex], HeadsBatch]:
        """A turn -> its rows with all targets; phrases and reports are drawn for all processes."""
        config = self.config
        joined = config.batch_size * world
        sampler = Sampler(self.pool, joined, config.seed, config.engine.accumulate)
        self.encode(self.pool)

        def load(turn: MicroBatchIndex) -> HeadsBatch:
            seed = config.seed * 1_000_003 + turn.number
            everyones = sampler.rows(turn)
            return self.batch(everyones, share(everyones, turn), config.augment, seed, turn.rank)

        return load

    def batch(
        self, everyones: Sequence[int], mine: Sequence[int], how: Augmentation, seed: int, rank: int
    ) -> HeadsBatch:
        """Rows with all targets.

        Args:
            everyones: the joined batch, indices into the cache.
            mine: positions in it of this process's rows.
            how: they are augmented.
            seed: of the phrases and reports, equal on all processes, and with `rank` of the
                augmentation.
            rank: of this process.
        """
        config, rng = self.config, random.Random(seed)
        generator = torch.Generator().manual_seed(seed + _RANKS_APART * rank)
        phrases = draw(config.phrases_per_batch, rng) if config.regions else []
        drawn = [report(self.cache.samples[i].row, rng) for i in everyones if config.aligns]
        rows = [everyones[i] for i in mine]
        labels = (config.findings, config.masks, config.boxes)
        batch = load_batch(self.cache, rows, labels, how, generator)
        samples = [self.cache.samples[i] for i in rows]
        regions = region_targets(samples, batch, phrases, config.preprocess.size_px // 4)
        said = [(n, r) for n, i in enumerate(mine) if config.aligns and (r := drawn[i])]
        tokens = self._tokens([r.text for _, r in said])
        reports = ReportBatch([n for n, _ in said], tokens, text_ids([r for _, r in said]))
        phrase_tokens = self._tokens([p.text for p in phrases])
        encoded = self._features.encoded(rows) if self._features else None
        return HeadsBatch(batch, phrase_tokens, regions, reports, encoded)

    def _tokens(self, texts: Sequence[str]) -> Tokens:
        if not texts:
            return NO_TOKENS
        with self._lock:  # the tokenizer keeps its padding in itself
            return tokenize(self.tokenizer, texts, self.module.model.text.max_tokens)

    def encode(self, rows: Sequence[int]) -> None:
        """Run a frozen encoder once over these rows and those looked at.

        Nothing is kept where augmentation changes the images, or where memory is too small.
        """
        config, unet = self.config, self.module.g2d.img_model
        if not config.freezes_encoder or config.augment.kind != "none" or self._features:
            return
        wanted = sorted(set(rows) | set(self.looked_at))
        maps, least = self.module.reads_maps, 2 if self.module.decodes else 8
        each = maps_bytes(unet, config.preprocess.size_px, least) if maps else 0
        if each * len(wanted) <= MOST_BYTES:
            self._features = encode(
                unet, self.cache, wanted, config.preprocess, maps=maps, least=least
            )
            self.module.train(self.module.training)  # the decoder was in evaluation mode too

    def losses(
        self,
        model: Callable[..., dict[str, Tensor]],
        batch: HeadsBatch,
        turn: MicroBatchIndex,  # noqa: ARG002 - of the contract of a task
    ) -> trainer.Losses:
        """The losses of `Finetuning`."""
        return model(batch.images, batch.phrases, batch.regions, batch.reports, batch.encoded)

    def picture(self, batch: HeadsBatch) -> Tensor | None:  # noqa: ARG002 - likewise
        """None: heads are looked at through `g2d evaluate`."""
        return None

    @cached_property
    def looked_at(self) -> list[int]:
        """Rows of the validation split that the run is chosen by, evenly spread over it."""
        choose = self.config.choose
        if choose is None:
            return []
        rows = self.cache.where("valid")
        known = [i for i in rows if is_labelled(self.cache.samples[i], self.config)]
        count = min(choose.limit or len(known), len(known))
        if not known:
            raise ValueError("no validation row has a label that a head of this run asks for")
        return [known[n * len(known) // count] for n in range(count)]

    def look(self) -> float:
        """How good the module is on the validation split; see `ChooseConfig.by`."""
        config, rows = self.config, self.looked_at
        size = config.batch_size
        parts = [rows[start : start + size] for start in range(0, len(rows), size)]
        still, seed = NoAugmentConfig(kind="none"), config.seed
        batches = (self.batch(part, range(len(part)), still, seed, 0) for part in parts)
        return validate(self.module, batches)


_RANKS_APART = 1_000_000_007
"""So that no two processes augment alike."""


def finetune(config: FinetuneConfig, out: Path, cache_folder: Path) -> Path:
    """Run or resume a fine-tuning; gives the path of its checkpoint, the best where it chose."""
    fabric = launch(config.engine, config.precision)
    seeding.seed_everything(config.seed)
    with fabric.rank_zero_first():
        task = FinetuneTask(config, open_cache(config.data, config.preprocess, cache_folder))
    task.fill(config.batch_size * fabric.world_size * config.engine.accumulate)
    choosing = ModelSelector(config.choose, task.look) if config.choose else None
    return trainer.train(config, fabric, task, out, choosing)
