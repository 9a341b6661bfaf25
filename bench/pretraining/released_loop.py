"""The released G2D training loop, rebuilt from its description, to compare with.

Same modules and the same weights as ours. What differs is what the description names:
per-image augmentation on RGB pictures, every report padded to the longest that is allowed, the
quantile of the attention by numpy on the host, Dice on raw logits with BCE times 0.2, weights
and images in the order in which they come (no channels-last), one tensor of the optimiser after
the other, and a loss that is read in every step.
"""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2
from transformers import PreTrainedTokenizerBase

from training.data.cache.cache import Cache
from training.pretrain.objective import Pretraining

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ReleasedLoop:
    """One process of it."""

    def __init__(
        self,
        module: Pretraining,
        cache: Cache,
        tokenizer: PreTrainedTokenizerBase,
        batch_size: int,
        *,
        bf16: bool,
    ) -> None:
        """Args: module: trained; cache: pairs; batch_size: rows a step; bf16: autocast."""
        self.module, self.cache, self.tokenizer = module, cache, tokenizer
        self.batch_size, self.bf16 = batch_size, bf16
        self.data_s = 0.0
        """Seconds spent on data since the beginning."""
        trained = [p for p in module.parameters() if p.requires_grad]
        self._optimiser = torch.optim.AdamW(trained, lr=2e-5, foreach=False)
        self._change = v2.Compose(
            [
                v2.ToPILImage(),
                v2.RandomAffine(15, shear=15),
                v2.ColorJitter(brightness=0.2, contrast=0.2),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(_MEAN, _STD),
            ]
        )
        self._order = self._rows()

    def step(self) -> float:
        """One optimiser step; gives the loss."""
        images, tokens = self._load()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            loss = self._loss(images, tokens)
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        return float(loss.item())

    def _rows(self) -> Iterator[list[int]]:
        rng = np.random.default_rng(0)
        while True:
            yield rng.choice(len(self.cache.samples), self.batch_size, replace=False).tolist()

    def _load(self) -> tuple[Tensor, Any]:
        start = time.perf_counter()
        rows = next(self._order)
        pictures = [np.repeat(self.cache.images[i][..., None], 3, axis=2) for i in rows]
        images = torch.stack([self._change(picture) for picture in pictures])
        tokens = self.tokenizer(
            [self.cache.samples[i].row.text for i in rows],
            padding="max_length",
            truncation=True,
            max_length=self.module.config.model.text.max_tokens,
            return_tensors="pt",
        )
        self.data_s += time.perf_counter() - start
        return images, tokens

    def _loss(self, images: Tensor, tokens: Any) -> Tensor:
        g2d = self.module.g2d
        features = g2d.img_model.encoder(images)
        logits = g2d.img_model.segmentation_head(g2d.img_model.decoder(features))
        pooled = g2d.attnpool(g2d.proj_v(features[-1]))
        text = g2d.text(tokens["input_ids"], tokens["attention_mask"])
        image, text = F.normalize(pooled.embedding, dim=1), F.normalize(text, dim=1)
        similarity = image @ text.T / 0.07
        target = torch.arange(len(images))
        contrast = F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)
        mask = _host_mask(pooled.attention, images.shape[-1])
        overlap = (logits * mask).sum()
        dice = 1 - (2 * overlap + 1) / (logits.sum() + mask.sum() + 1)
        total: Tensor = contrast + dice + 0.2 * F.binary_cross_entropy_with_logits(logits, mask)
        return total


def _host_mask(attention: Tensor, side: int) -> Tensor:
    """1 where the up-sampled mean of the heads is above its 85 % quantile, by numpy."""
    scores = F.interpolate(attention.detach().mean(dim=1, keepdim=True), (side, side))
    host = scores.float().cpu().numpy()
    level = np.quantile(host.reshape(len(host), -1), 0.85, axis=1)
    return torch.from_numpy((host > level[:, None, None, None]).astype(np.float32))
