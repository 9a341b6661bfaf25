"""Validation of a pre-training: losses, and retrieval between images and reports.

validation rows with a text, without augmentation -> embeddings, losses of each batch
all embeddings -> recall among the best 1, 5 and 10, both ways
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from training.config.pretrain import PretrainConfig
from training.data.cache.cache import Cache
from training.data.text.synthetic_reports import report, text_ids
from training.engine.seeding import batch_seed
from training.losses.contrastive import contrastive_loss
from training.metrics.retrieval import retrieval_recall
from training.model.image_encoder import normalise
from training.model.text_encoder import tokenize
from training.pretrain.objective import Pretraining


def validation_rows(config: PretrainConfig, cache: Cache) -> list[int]:
    """Return rows of the validation split that have a text, spread evenly over the split."""
    if config.choose is None:
        return []
    samples = cache.samples
    rows = [i for i in cache.where("valid") if report(samples[i].row, random.Random(0))]
    count = min(config.choose.limit or len(rows), len(rows))
    return [rows[n * len(rows) // count] for n in range(count)]


@dataclass(frozen=True)
class _Measured:
    """Embeddings of a batch, B x d of length 1 on the host, with the reports' ids and losses."""

    images: Tensor
    reports: Tensor
    ids: Tensor
    losses: dict[str, float]


@dataclass(frozen=True)
class RetrievalValidation:
    """Measures a module on rows of the validation split.

    Attributes:
        config: configuration of the run.
        cache: all rows of the data sets.
        tokenizer: tokenizer of the text encoder; no other thread uses it.
        module: the module that is trained, not wrapped.
        rows: rows to measure, indices into the cache.
    """

    config: PretrainConfig
    cache: Cache
    tokenizer: PreTrainedTokenizerBase
    module: Pretraining
    rows: Sequence[int]

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Measure the module as it is; one process alone may do so, and nothing global is drawn.

        Returns:
            `loss` and its parts, means over the rows in batches of the run's size; the recalls of
            `retrieval_recall`; and their mean, `recall`.
        """
        size, rows = self.config.batch_size, self.rows
        with _evaluating(self.module):
            parts = [self._batch(rows[n : n + size]) for n in range(0, len(rows), size)]
        images, reports = (torch.cat([getattr(p, x) for p in parts]) for x in ("images", "reports"))
        scores = (images @ reports.T).double().numpy()
        recalls = retrieval_recall(scores, torch.cat([p.ids for p in parts]).numpy())
        losses = {
            name: sum(p.losses[name] * len(p.ids) for p in parts) / len(rows)
            for name in parts[0].losses
        }
        return losses | recalls | {"recall": float(np.mean(list(recalls.values())))}

    def _batch(self, rows: Sequence[int]) -> _Measured:
        config, module = self.config, self.module
        device = next(module.parameters()).device
        stacked = np.stack([self.cache.images[i] for i in rows])
        images = torch.from_numpy(stacked).unsqueeze(1).to(device).float() / 255  # B x 1 x S x S
        seeded = ((i, random.Random(batch_seed(config.seed, i))) for i in rows)
        reports = [r for i, rng in seeded if (r := report(self.cache.samples[i].row, rng))]
        text = config.model.text
        tokens = tokenize(self.tokenizer, [r.text for r in reports], text.max_tokens, text.padding)
        decodes = config.decoder_loss != "none"
        features = module.g2d.image(normalise(images, config.preprocess), decode=decodes)
        embedding = module.g2d.text(tokens.input_ids.to(device), tokens.attention_mask.to(device))
        ids = text_ids(reports)
        losses = {
            "vla": contrastive_loss(  # other processes take no part: nothing is gathered
                features.embedding,
                embedding,
                temperature=config.temperature,
                symmetric=config.symmetric,
                text_ids=ids.to(device) if config.same_text_is_positive else None,
            )
        }
        if decodes:
            name, value = module.decoder_loss(features, images)
            losses[name] = value
        found = {name: float(value) for name, value in losses.items()}
        found["loss"] = sum(found.values())
        unit = [F.normalize(x.float(), dim=1).cpu() for x in (features.embedding, embedding)]
        return _Measured(unit[0], unit[1], ids, found)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode for a time."""
    mode = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(mode)
