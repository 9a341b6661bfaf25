"""The released G2D training loop, rebuilt from its description as the baseline.

It has the same modules and weights as ours. It differs as the description states: the token
embeddings are trained, so that gradients pass through the frozen transformer layers too;
augmentation of single RGB images, every report padded to the maximum length and all of its tokens
projected, the quantile of the attention by NumPy on the host, Dice on raw logits plus 0.2 times
BCE, contiguous memory format (no channels-last), an optimiser that updates one tensor after the
other, and a loss that is read in every step.
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
from training.losses.segmentation import released_alignment_loss
from training.pretrain.objective import Pretraining

_AUTOCAST = {
    "32-true": torch.float32,
    "bf16-mixed": torch.bfloat16,
    "16-mixed": torch.float16,
}
"""Precision, as Lightning names it -> type of the products."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ReleasedLoop:
    """One process of the loop."""

    def __init__(
        self,
        module: Pretraining,
        cache: Cache,
        tokenizer: PreTrainedTokenizerBase,
        batch_size: int,
        *,
        precision: str,
    ) -> None:
        """Set up the optimiser and the augmentation.

        Args:
            module: network to train, on its device.
            cache: image-report pairs.
            tokenizer: tokenizer of the text encoder.
            batch_size: rows of a step.
            precision: `32-true`, `bf16-mixed` or `16-mixed`.
        """
        self.module, self.cache, self.tokenizer = module, cache, tokenizer
        self.batch_size = batch_size
        self._device = next(module.parameters()).device
        self._autocast = _AUTOCAST[precision]
        self._scaler = torch.amp.GradScaler(
            self._device.type, enabled=self._autocast == torch.float16
        )
        self.data_s = 0.0
        """Seconds spent on loading data so far."""
        trained = [p for p in module.parameters() if p.requires_grad]
        self._optimiser = torch.optim.AdamW(trained, lr=2e-5, foreach=False)
        self._augment = v2.Compose(
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
        """Run one optimiser step and return the loss."""
        images, tokens = self._load()
        images, tokens = images.to(self._device), tokens.to(self._device)
        half = self._autocast != torch.float32
        with torch.autocast(self._device.type, self._autocast if half else None, enabled=half):
            loss = self._loss(images, tokens)
        self._optimiser.zero_grad()
        self._scaler.scale(loss).backward()
        self._scaler.step(self._optimiser)
        self._scaler.update()
        return float(loss.item())

    def _rows(self) -> Iterator[list[int]]:
        rng = np.random.default_rng(0)
        while True:
            yield rng.choice(len(self.cache.samples), self.batch_size, replace=False).tolist()

    def _load(self) -> tuple[Tensor, Any]:
        start = time.perf_counter()
        rows = next(self._order)
        pictures = [np.repeat(self.cache.images[i][..., None], 3, axis=2) for i in rows]
        images = torch.stack([self._augment(picture) for picture in pictures])
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
        image, text = F.normalize(pooled.embedding, dim=1), self._report_embeddings(tokens)
        similarity = image @ text.T / 0.07  # B x B
        target = torch.arange(len(images), device=images.device)
        contrast = F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)
        mask = _host_mask(pooled.attention, images.shape[-1])
        total: Tensor = contrast + released_alignment_loss(logits, mask)
        return total

    def _report_embeddings(self, tokens: Any) -> Tensor:
        """Return the projected [CLS] tokens, B x d; every token passes all layers and `proj_t`."""
        g2d = self.module.g2d
        hidden = g2d.lm_model.bert(**tokens).last_hidden_state  # B x T x D
        projected = g2d.proj_t(hidden.transpose(1, 2))  # B x d x T, normalised over all tokens
        return F.normalize(projected.transpose(1, 2), dim=2)[:, 0]


def _host_mask(attention: Tensor, side: int) -> Tensor:
    """Return B x 1 x side x side, 1 where the mean of the heads is above its 85 % quantile."""
    scores = F.interpolate(attention.detach().mean(dim=1, keepdim=True), (side, side))
    host = scores.float().cpu().numpy()
    level = np.quantile(host.reshape(len(host), -1), 0.85, axis=1)
    mask = torch.from_numpy((host > level[:, None, None, None]).astype(np.float32))
    return mask.to(attention.device)
