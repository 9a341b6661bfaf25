"""Image encoder and U-Net decoder, with weights from a hub, a file or a registry package."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoderBlock
from torch import Tensor, nn

from radiograph.preprocess import PreprocessSpec
from training.config.model import EncoderConfig
from training.model.tensor_files import read_tensors
from training.model.upsampled_convolution import convolve_upsampled
from training.model.weight_sources import check_encoder, weights_file
from training.refusal import WeightsRefused

_KEY = "model.encoder.weights"
_CLASSIFIER = re.compile(r"^classifier|(^|[._])fc\.(weight|bias)$")
"""Names of the tensors of a classification head, which the encoder does not have."""


@dataclass(frozen=True)
class Pyramid:
    """Feature maps of one pass.

    Attributes:
        encoder: stride -> B x C x H/stride x W/stride, for strides 8, 16, 32.
        decoder: stride -> B x c x H/stride x W/stride, for strides 16, 8, 4, 2, 1; empty
            if the decoder did not run.
    """

    encoder: dict[int, Tensor]
    decoder: dict[int, Tensor]

    @property
    def deep(self) -> Tensor:
        """The deepest map of the encoder."""
        return self.encoder[32]


def build_unet(config: EncoderConfig, classes: int = 1) -> smp.Unet:
    """Build the U-Net of the paper; its state dict has the layout of the released checkpoints.

    Args:
        config: encoder, decoder and their weights.
        classes: output channels of the segmentation head.

    Raises:
        RunRefused: there is no such encoder, its weights cannot be had, or they do not fit.
    """
    check_encoder(config)
    from_hub = config.weights if config.weights == "imagenet" else None
    unet = smp.Unet(
        config.name,
        encoder_weights=from_hub,
        in_channels=3,
        classes=classes,
        decoder_channels=config.decoder_channels,
    )
    if config.weights and not from_hub:
        load_encoder(unet.encoder, weights_file(config.weights))
    return unet


def load_encoder(encoder: nn.Module, path: Path) -> None:
    """Load a state dict of the same names, or of other names but the same order.

    Args:
        encoder: module that receives the weights.
        path: file of PyTorch or safetensors; only the former keeps the order.

    Raises:
        RunRefused: the file is no state dict, or number or shapes of the tensors differ.
    """
    source, state = _read_state(path), encoder.state_dict()
    if source.keys() >= state.keys():
        tensors = [source[name] for name in state]
    else:
        names = [name for name in source if not _CLASSIFIER.search(name)]
        tensors = [source[name] for name in names]
    if [tuple(t.shape) for t in tensors] != [tuple(t.shape) for t in state.values()]:
        raise WeightsRefused(f"{_KEY}: {path.name} does not hold the weights of this encoder")
    encoder.load_state_dict(dict(zip(state, tensors, strict=True)))


def _read_state(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise WeightsRefused(f"{_KEY}: {path} is no file of tensors, or is cut off") from error
    found = read_tensors(path, _KEY)
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        raise WeightsRefused(f"{_KEY}: {path} is not a state dict of tensors")
    return found


def run_unet(unet: smp.Unet, images: Tensor, *, decode: bool = True) -> Pyramid:
    """Run the encoder and, if requested, the decoder.

    Args:
        unet: network from `build_unet`.
        images: B x 1 x H x W, normalised; H and W divisible by 32.
        decode: True runs the decoder.

    Raises:
        ValueError: a side is not divisible by 32.
    """
    maps = encode(unet, images)
    sides = (images.shape[-2], images.shape[-1])
    return pyramid(maps, run_decoder(unet, maps, sides) if decode else {})


def pyramid(maps: Sequence[Tensor], decoder: dict[int, Tensor]) -> Pyramid:
    """Collect the maps of encoder (the last three of strides 8, 16, 32) and decoder."""
    return Pyramid(dict(zip((8, 16, 32), maps[-3:], strict=True)), decoder)


def encode(unet: smp.Unet, images: Tensor) -> list[Tensor]:
    """Return the maps of the encoder of strides 2, 4, 8, 16 and 32.

    Args:
        unet: network from `build_unet`.
        images: B x 1 x H x W, normalised; H and W divisible by 32.

    Raises:
        ValueError: a side is not divisible by 32.
    """
    if images.shape[-1] % 32 or images.shape[-2] % 32:
        raise ValueError(f"sides must be divisible by 32, got {tuple(images.shape[-2:])}")
    rgb = images.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
    maps: list[Tensor] = unet.encoder(rgb)[1:]
    return maps


def run_decoder(
    unet: smp.Unet, maps: Sequence[Tensor], sides: tuple[int, int]
) -> dict[int, Tensor]:
    """Return the maps of the decoder by stride, as in `Pyramid`.

    Args:
        unet: network from `build_unet`.
        maps: maps from `encode`.
        sides: H and W of the images.
    """
    skips = maps[:-1][::-1]  # strides 16, 8, 4, 2
    x = unet.decoder.center(maps[-1])
    decoded: dict[int, Tensor] = {}
    for i, block in enumerate(unet.decoder.blocks):
        side = (sides[0] >> (4 - i), sides[1] >> (4 - i))
        x = _run_block(block, x, side, skips[i] if i < len(skips) else None)
        decoded[16 >> i] = x
    return decoded


def _run_block(
    block: UnetDecoderBlock, x: Tensor, sides: tuple[int, int], skip: Tensor | None
) -> Tensor:
    """Return the output of one block of the decoder, B x c x H x W.

    Training on processors takes the shorter way to the same result. Below full precision it does so
    where the map is larger than its number of channels, because the way of deep maps is in full
    precision. Evaluation and the exported graph run the block itself.
    """
    small = (x.shape[-2], x.shape[-1])
    doubled = sides == (2 * small[0], 2 * small[1])
    wide = small[0] * small[1] > x.shape[1]
    short = block.training and x.device.type == "cpu"
    if not (doubled and short and (wide or not torch.is_autocast_enabled("cpu"))):
        output: Tensor = block(x, *sides, skip_connection=skip)
        return output
    convolution, *rest = block.conv1
    x = convolve_upsampled(x, skip, convolution.weight)
    for layer in (*rest, block.conv2, block.attention2):
        x = layer(x)
    return x


def restart_decoder(decoder: nn.Module) -> None:
    """Initialise a decoder anew, from the global generator."""
    smp.base.initialization.initialize_decoder(decoder)
    for module in decoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()


def normalise(images: Tensor, spec: PreprocessSpec) -> Tensor:
    """Normalise intensities in [0, 1], as `radiograph.preprocess.normalise` does."""
    return (images - spec.mean) / spec.std
