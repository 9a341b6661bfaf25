"""Output of a frozen encoder, computed once and reused in every step that needs it.

checkpoint or start of a pre-training -> U-Net -> encoder (evaluation mode) -> maps of a cache
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
from training.engine.checkpoint import read_run
from training.engine.seeding import seed_everything
from training.model.image_encoder import build_unet, encode, normalise
from training.progress import track

BATCH = 32
STRIDES = (2, 4, 8, 16, 32)
MAX_BYTES = 6 * 2**30
"""Size of the maps that a run keeps in memory; above it, the encoder runs in every step."""


@dataclass(frozen=True)
class EncodedImages:
    """Output of a frozen encoder for the images of a batch, float32.

    Attributes:
        deep: B x C, the mean of the deepest map.
        maps: maps of strides 2, 4, 8, 16, 32, or the last of these; empty if none were kept.
    """

    deep: Tensor
    maps: tuple[Tensor, ...]


@dataclass(frozen=True)
class EncodedRows:
    """Output of a frozen encoder for N rows of a cache.

    Attributes:
        rows: indices into the cache.
        deep: N x C float32, the mean of the deepest map.
        maps: maps of strides 2, 4, 8, 16, 32, each N x c x S/stride x S/stride, float16; without
            the first ones, or empty, if they were not requested.
        size_px: side of the images, S.
    """

    rows: tuple[int, ...]
    deep: Tensor
    maps: tuple[Tensor, ...]
    size_px: int

    def decoder_input(self, positions: Tensor) -> list[Tensor]:
        """Return the maps of some rows as `unet.decoder` takes them, float32.

        The first map of this input is the image, of which the decoder reads the size alone.

        Args:
            positions: positions in `rows`, int64.
        """
        image = torch.empty(len(positions), 0, self.size_px, self.size_px)
        maps = [level[positions].float() for level in self.maps]
        return [image, *(m.contiguous(memory_format=torch.channels_last) for m in maps)]

    def positions(self, rows: Sequence[int]) -> Tensor:
        """Return the positions in `rows` of some of the rows, int64."""
        return torch.tensor([self._position[row] for row in rows], dtype=torch.long)

    @cached_property
    def _position(self) -> dict[int, int]:
        return {row: n for n, row in enumerate(self.rows)}

    def select(self, rows: Sequence[int]) -> EncodedImages:
        """Return the output for some of the rows, in the given order."""
        at = self.positions(rows)
        return EncodedImages(self.deep[at], tuple(level[at].float() for level in self.maps))


def bytes_per_image(unet: smp.Unet, size_px: int, first_stride: int = 2) -> int:
    """Return the size of the float16 maps of one image.

    Args:
        unet: network whose encoder gives the maps.
        size_px: side of the image.
        first_stride: the finest map that is counted.
    """
    each = zip(unet.encoder.out_channels[1:], STRIDES, strict=True)
    return sum(2 * c * (size_px // stride) ** 2 for c, stride in each if stride >= first_stride)


def read_unet(checkpoint: Path) -> smp.Unet:
    """Read encoder and decoder of a pre-training; no code in the file is executed."""
    saved, config = read_run(checkpoint, PretrainConfig, "pretrained")
    unet = build_unet(config.model.encoder.model_copy(update={"weights": None}))
    prefix = "g2d.img_model."
    unet.load_state_dict(
        {k.removeprefix(prefix): v for k, v in saved.weights.items() if k.startswith(prefix)}
    )
    return unet


def fresh_unet(config: EncoderConfig, seed: int) -> smp.Unet:
    """Build a U-Net without a pre-training on radiographs; the seed fixes its random decoder."""
    seed_everything(seed)
    return build_unet(config)


@torch.no_grad()
def encode_rows(
    unet: smp.Unet,
    cache: Cache,
    rows: Sequence[int],
    spec: PreprocessSpec,
    *,
    maps: bool,
    first_stride: int = 2,
) -> EncodedRows:
    """Run the encoder once over some rows; the results are kept on the host.

    Args:
        unet: network on its device; it is left in evaluation mode.
        cache: preprocessed radiographs.
        rows: indices into the cache.
        spec: preprocessing that the cache was made with.
        maps: True keeps the maps, about 0.3 MB for an image of 128 px.
        first_stride: stride of the finest map that is kept.
    """
    unet.eval().to(memory_format=torch.channels_last)
    device = next(unet.parameters()).device
    deep: list[Tensor] = []
    levels: list[list[Tensor]] = []
    for start in track(range(0, len(rows), BATCH), "encoding"):
        pixels = np.stack([cache.images[i] for i in rows[start : start + BATCH]])
        images = torch.from_numpy(pixels).to(device).unsqueeze(1).float() / 255  # B x 1 x S x S
        encoded = encode(unet, normalise(images, spec))
        deep.append(encoded[-1].mean(dim=(2, 3)).cpu())
        kept = encoded[STRIDES.index(first_stride) :] if maps else []
        levels.append([level.half().cpu() for level in kept])
    joined = tuple(torch.cat(level) for level in zip(*levels, strict=True))
    return EncodedRows(tuple(rows), torch.cat(deep), joined, spec.size_px)
