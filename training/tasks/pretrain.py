r"""G2D pre-training: L_VLA + L_PA on radiographs and their reports (docs: paper section 3).

images -> encoder -> pool -> embedding --L_VLA-- report embedding
                 \-> decoder -> mask logits --L_PA-- pseudo mask(attention, image)
"""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from radiograph.preprocess import PreprocessSpec
from training import loop
from training.config import PretrainConfig
from training.data.augment import augment
from training.data.cache import Cache, open_cache
from training.data.sampler import batch_rows
from training.data.sentences import Report, report
from training.losses.contrastive import contrastive_loss
from training.losses.pseudo_mask import pseudo_mask
from training.losses.segmentation import pseudo_alignment_loss
from training.model.g2d import G2D
from training.model.text_encoder import Tokens, build_tokenizer, tokenize


def normalise(images: Tensor, spec: PreprocessSpec) -> Tensor:
    """Intensities in [0, 1] -> the model's input, as `radiograph.preprocess.normalise` does."""
    return (images - spec.mean) / spec.std


def load_images(cache: Cache, rows: list[int]) -> Tensor:
    """B x 1 x S x S intensities in [0, 1]."""
    pixels = np.stack([cache.images[i] for i in rows])
    return torch.from_numpy(pixels).unsqueeze(1).float() / 255


class Pretraining(nn.Module):
    """The model and its losses in one forward, so that precision and DDP wrap it whole."""

    def __init__(self, config: PretrainConfig) -> None:
        """Build the model that the configuration describes."""
        super().__init__()
        self.config = config
        self.g2d = G2D(config.model, config.preprocess.size_px)

    def forward(self, images: Tensor, tokens: Tokens, same: Tensor | None) -> dict[str, Tensor]:
        """Losses of one batch.

        Args:
            images: B x 1 x S x S intensities in [0, 1].
            tokens: of the B reports.
            same: B x B bool, reports that say the same; None counts each as different.
        """
        config = self.config
        segments = config.decoder_loss == "pseudo_segmentation"
        features = self.g2d.image(normalise(images, config.preprocess), decode=segments)
        text = self.g2d.text(tokens.input_ids, tokens.attention_mask)
        losses = {
            "vla": contrastive_loss(
                features.embedding,
                text,
                temperature=config.temperature,
                symmetric=config.symmetric,
                same=same,
            )
        }
        if segments:
            mask = pseudo_mask(
                features.attention,
                images,
                threshold=config.threshold,
                use_body_mask=config.body_mask,
                smooth=config.smooth,
            )
            losses["pa"] = pseudo_alignment_loss(self.g2d.mask_logits(features), mask)
        return losses | {"total": sum(losses.values(), torch.zeros((), device=images.device))}


def same_text(reports: list[Report]) -> Tensor:
    """B x B bool: which reports say the same."""
    keys = [r.key for r in reports]
    return torch.tensor([[a == b for b in keys] for a in keys])


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
        tokens = tokenize(tokenizer, [r.text for r in reports], config.model.text.max_tokens)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        images = fabric.to_device(load_images(cache, rows))
        changed = augment(images, None, config.augment, generator).images
        same = fabric.to_device(same_text(reports)) if config.same_text_is_positive else None
        ids = Tokens(fabric.to_device(tokens.input_ids), fabric.to_device(tokens.attention_mask))
        return model(changed, ids, same)

    return losses
