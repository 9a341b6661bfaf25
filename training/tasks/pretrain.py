"""G2D pre-training: radiographs and their reports -> steps on the losses of `objective`."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor

from training import loop
from training.config import PretrainConfig
from training.data.augment import augment
from training.data.cache import Cache, open_cache
from training.data.sampler import batch_rows
from training.data.sentences import report
from training.model.text_encoder import Tokens, build_tokenizer, tokenize
from training.tasks.objective import Pretraining, text_ids


def load_images(cache: Cache, rows: list[int]) -> Tensor:
    """B x 1 x S x S intensities in [0, 1]."""
    pixels = np.stack([cache.images[i] for i in rows])
    return torch.from_numpy(pixels).unsqueeze(1).float() / 255


def pretrain(config: PretrainConfig, out: Path, cache_folder: Path) -> Path:
    """Run or resume a pre-training; gives the path of its last checkpoint."""
    loop.seed_everything(config.seed)
    cache = open_cache(config.data, config.preprocess, cache_folder)
    pool = [i for i in cache.where("train") if report(cache.samples[i].row, random.Random(0))]
    return loop.train(
        config,
        Pretraining(config),
        len(pool),
        out,
        lambda fabric, model: _step(config, cache, pool, fabric, model),
    )


def _step(
    config: PretrainConfig,
    cache: Cache,
    pool: list[int],
    fabric: Fabric,
    model: Callable[..., dict[str, Tensor]],
) -> Callable[[int], loop.Losses]:
    tokenizer = build_tokenizer(config.model.text)

    def losses(step: int) -> loop.Losses:
        rows = batch_rows(pool, config.batch_size, step, config.seed)
        rng = random.Random(config.seed * 1_000_003 + step)
        reports = [r for i in rows if (r := report(cache.samples[i].row, rng))]
        text = config.model.text
        tokens = tokenize(tokenizer, [r.text for r in reports], text.max_tokens, text.padding)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        images = fabric.to_device(load_images(cache, rows))
        changed = augment(images, None, config.augment, generator).images
        ids = fabric.to_device(text_ids(reports)) if config.same_text_is_positive else None
        tokens = Tokens(fabric.to_device(tokens.input_ids), fabric.to_device(tokens.attention_mask))
        return model(changed, tokens, ids, step)

    return losses
