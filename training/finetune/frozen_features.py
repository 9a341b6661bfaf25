"""A frozen encoder's features, computed once for every probe that is trained on them.

checkpoint or start of a pre-training -> U-Net -> encoder (evaluation mode) -> features of a cache
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch
from torch import Tensor

from radiograph.preprocess import PreprocessSpec
from training.config.model import EncoderConfig
from training.config.pretrain import PretrainConfig
from training.data.cache.cache import Cache
from training.engine import seeding
from training.engine.checkpoint import read_checkpoint
from training.model.image_encoder import build_unet, normalise
from training.model.image_encoder import encode as encode_images
from training.progress import track

BATCH = 32
STRIDES = (2, 4, 8, 16, 32)
MOST_BYTES = 6 * 2**30
"""Of maps that a run keeps in memory; above it, a frozen encoder runs in every step."""


@dataclass(frozen=True)
class Encoded:
    """What a frozen encoder makes of a batch, as `Features` has it, float32.

    Attributes:
        deep: B x C, the mean of the deepest map.
        maps: of strides 2, 4, 8, 16, 32, or the last of these; empty when they were not kept.
    """

    deep: Tensor
    maps: tuple[Tensor, ...]


@dataclass(frozen=True)
class Features:
    """What a frozen encoder makes of some rows of a cache.

    Attributes:
        rows: indices into the cache.
        deep: N x C float32, the mean of the deepest map.
        pyramid: maps of strides 2, 4, 8, 16, 32, each N x c x S/stride x S/stride, float16;
            without the first ones, or empty, where they were not asked for.
        size_px: S.
    """

    rows: tuple[int, ...]
    deep: Tensor
    pyramid: tuple[Tensor, ...]
    size_px: int

    def at(self, places: Tensor) -> list[Tensor]:
        """The maps of some rows as `unet.decoder` takes them, float32; the image has no channels.

        Args:
            places: positions in `rows`.
        """
        image = torch.empty(len(places), 0, self.size_px, self.size_px)
        maps = [level[places].float() for level in self.pyramid]
        return [image, *(m.contiguous(memory_format=torch.channels_last) for m in maps)]

    def places(self, rows: Sequence[int]) -> Tensor:
        """Positions of some of the rows."""
        return torch.tensor([self._place[row] for row in rows], dtype=torch.long)

    @cached_property
    def _place(self) -> dict[int, int]:
        return {row: n for n, row in enumerate(self.rows)}

    def encoded(self, rows: Sequence[int]) -> Encoded:
        """What the encoder makes of some of the rows, in their order."""
        places = self.places(rows)
        return Encoded(self.deep[places], tuple(level[places].float() for level in self.pyramid))


def maps_bytes(unet: smp.Unet, size_px: int, least: int = 2) -> int:
    """What the pyramid of one image takes in `Features`, from stride `least` on."""
    each = zip(unet.encoder.out_channels[1:], STRIDES, strict=True)
    return sum(2 * c * (size_px // stride) ** 2 for c, stride in each if stride >= least)


def read_unet(checkpoint: Path) -> smp.Unet:
    """Encoder and decoder of a pre-training; nothing in the file is executed."""
    saved = read_checkpoint(checkpoint)
    config = PretrainConfig.model_validate_json(saved.config)
    unet = build_unet(config.model.encoder.model_copy(update={"weights": None}))
    prefix = "g2d.img_model."
    unet.load_state_dict(
        {k.removeprefix(prefix): v for k, v in saved.weights.items() if k.startswith(prefix)}
    )
    return unet


def fresh_unet(config: EncoderConfig, seed: int) -> smp.Unet:
    """A U-Net that has not been pre-trained on radiographs; its decoder is random, by the seed."""
    seeding.seed_everything(seed)
    return build_unet(config)


@torch.no_grad()
def encode(
    unet: smp.Unet,
    cache: Cache,
    rows: Sequence[int],
    spec: PreprocessSpec,
    *,
    maps: bool,
    least: int = 2,
) -> Features:
    """Run the encoder once over some rows.

    Args:
        unet: left in evaluation mode; runs where it is, and what it gives is kept on the host.
        cache, rows: of the radiographs.
        spec: that the cache was made with.
        maps: whether the pyramid is kept, 0.3 MB an image of 128 px.
        least: the first of its strides that is.
    """
    unet.eval().to(memory_format=torch.channels_last)
    device = next(unet.parameters()).device
    deep: list[Tensor] = []
    levels: list[list[Tensor]] = []
    for start in track(range(0, len(rows), BATCH), "encoding"):
        pixels = np.stack([cache.images[i] for i in rows[start : start + BATCH]])
        images = torch.from_numpy(pixels).to(device).unsqueeze(1).float() / 255
        found = encode_images(unet, normalise(images, spec))
        deep.append(found[-1].mean(dim=(2, 3)).cpu())
        kept = found[STRIDES.index(least) :] if maps else []
        levels.append([level.half().cpu() for level in kept])
    pyramid = tuple(torch.cat(level) for level in zip(*levels, strict=True))
    return Features(tuple(rows), torch.cat(deep), pyramid, spec.size_px)
