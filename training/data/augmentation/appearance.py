"""Differences in appearance between hospitals, devices and exports, applied to a batch at random.

    image --tone, local contrast, shading, window--> exposure and processing
          --cut-out, collimation, markers---------> things on the image
          --border, polarity----------------------> the frame of an export
          --resolution, JPEG----------------------> losses of an export

Nothing here moves the anatomy, so masks and boxes stay as they are. A border shrinks the image
first; that is part of the geometry (`frame`).
"""

import io
from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Generator, Tensor
from torchvision.transforms.functional import pil_to_tensor

from training.config.augmentation import AppearanceConfig
from training.data.augmentation.draws import chosen, per_image, uniform

_KNOTS = 8
"""Knots of a tone curve."""
_BASE_CELLS = 14
"""Cells along each side of the map that counts as the coarse brightness of an image."""
_MARKERS = ("L", "R", "PA", "AP", "SUPINE", "ERECT", "PORTABLE", "Lt", "Rt", "AP 12:47", "180 cm")


def change_appearance(images: Tensor, config: AppearanceConfig, generator: Generator) -> Tensor:
    """Change exposure and processing, and put things on the images, before they are framed.

    Args:
        images: B x 1 x S x S in [0, 1].
        config: kinds of changes and their strength.
        generator: CPU generator.

    Returns:
        Images of the same shape, in [0, 1].
    """
    images = _tone(images, config.tone, generator)
    images = _local_contrast(images, config.local_contrast, generator)
    images = _shading(images, config.shading, generator)
    images = _window(images, config.window, generator)
    images = _cutout(images, config.cutout_share, generator)
    images = _collimation(images, config.collimation_share, generator)
    return _markers(images, config.marker_share, generator)


def change_export(
    images: Tensor, inside: Tensor, config: AppearanceConfig, generator: Generator
) -> Tensor:
    """Fill the border, and apply what an export does to the whole picture.

    Args:
        images: B x 1 x S x S in [0, 1].
        inside: B x 1 x S x S bool, False outside the frame of the image.
        config: kinds of changes and their strength.
        generator: CPU generator.
    """
    white = chosen(len(images), config.white_border_share, generator)
    images = torch.where(inside, images, per_image(images, white.float()))
    inverted = per_image(images, chosen(len(images), config.inverted_share, generator))
    images = torch.where(inverted, 1 - images, images)
    images = _resolution(images, config.resolution_share, generator)
    return _jpeg(images, config.jpeg_share, generator)


def frame(count: int, config: AppearanceConfig, generator: Generator) -> Tensor:
    """Draw the maps that shrink images to make room for a border, B x 3 x 3.

    Each side gets a border of up to `border_width` sides of the picture; the aspect is kept.
    """
    framed = chosen(count, config.border_share, generator).float()
    widths = torch.rand(count, 2, generator=generator) * config.border_width * framed.unsqueeze(1)
    scale = 1 - widths.sum(dim=1)  # of both axes
    place = torch.rand(count, 2, generator=generator)
    matrix = torch.zeros(count, 3, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = scale
    matrix[:, :2, 2] = place * (1 - scale).unsqueeze(1)
    matrix[:, 2, 2] = 1
    return matrix


def _tone(images: Tensor, strength: float, generator: Generator) -> Tensor:
    """Apply random rising tone curves that keep black and white."""
    steps = torch.randn(len(images), _KNOTS - 1, generator=generator).mul(strength).exp()
    heights = F.pad(steps.cumsum(dim=1) / steps.sum(dim=1, keepdim=True), (1, 0))  # B x knots
    heights = heights.to(images.device, non_blocking=True)
    position = images.clamp(0, 1).flatten(1) * (_KNOTS - 1)  # B x pixels
    lower = position.long().clamp_max(_KNOTS - 2)
    low, high = heights.gather(1, lower), heights.gather(1, lower + 1)
    return (low + (high - low) * (position - lower)).view_as(images)


def _local_contrast(images: Tensor, strength: float, generator: Generator) -> Tensor:
    """Weaken or strengthen fine against coarse contrast, as adaptive equalisation does."""
    count, side = len(images), images.shape[-1]
    detail_weight = uniform(count, -0.5 * strength, strength, generator)
    base_weight = uniform(count, -0.5 * strength, 0.5 * strength, generator)
    coarse = F.adaptive_avg_pool2d(images, min(_BASE_CELLS, side))
    base = F.interpolate(coarse, size=side, mode="bilinear", align_corners=False)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    changed = (images - base) * per_image(images, detail_weight)
    return (images + changed + (base - mean) * per_image(images, base_weight)).clamp(0, 1)


def _shading(images: Tensor, strength: float, generator: Generator) -> Tensor:
    """Multiply by a smooth random field about 1."""
    field = torch.rand(len(images), 1, 3, 3, generator=generator) * 2 - 1
    smooth = F.interpolate(field, size=images.shape[-1], mode="bicubic", align_corners=False)
    return (images * (1 + strength * smooth.to(images.device, non_blocking=True))).clamp(0, 1)


def _window(images: Tensor, strength: float, generator: Generator) -> Tensor:
    """Map random limits near black and white to 0 and 1, as another exposure or window does."""
    low = per_image(images, uniform(len(images), -strength, strength, generator))
    high = per_image(images, 1 + uniform(len(images), -strength, strength, generator))
    return ((images - low) / (high - low)).clamp(0, 1)


def _cutout(images: Tensor, share: float, generator: Generator) -> Tensor:
    """Fill a rectangle of 8 to 30 percent of each side with one random brightness."""
    count = len(images)
    sides = torch.rand(count, 2, generator=generator) * 0.22 + 0.08
    start = torch.rand(count, 2, generator=generator) * (1 - sides)
    value = per_image(images, torch.rand(count, generator=generator))
    within = _within(images, torch.cat([start, start + sides], dim=1))
    filled = within & per_image(images, chosen(count, share, generator))
    return torch.where(filled, value, images)


def _collimation(images: Tensor, share: float, generator: Generator) -> Tensor:
    """Darken everything outside a rectangle that cuts up to 10 percent off each side."""
    count = len(images)
    cut = torch.rand(count, 4, generator=generator) * 0.1
    bounds = torch.cat([cut[:, :2], 1 - cut[:, 2:]], dim=1)
    left = per_image(images, uniform(count, 0.0, 0.15, generator))  # brightness that is left
    outside = ~_within(images, bounds) & per_image(images, chosen(count, share, generator))
    return torch.where(outside, images * left, images)


def _within(images: Tensor, bounds: Tensor) -> Tensor:
    """Return which pixels lie in a rectangle of each image, B x 1 x S x S bool.

    Args:
        images: B x 1 x S x S.
        bounds: B x 4, (x0, y0, x1, y1) as fractions of the side.
    """
    side = images.shape[-1]
    centre = (torch.arange(side, device=images.device) + 0.5) / side
    x0, y0, x1, y1 = bounds.to(images.device, non_blocking=True).view(-1, 4, 1).unbind(1)  # B x 1
    columns, rows = (centre >= x0) & (centre < x1), (centre >= y0) & (centre < y1)  # B x S
    return (rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)


def _markers(images: Tensor, share: float, generator: Generator) -> Tensor:
    """Write letters near the upper or lower edge of some images, on either side."""
    marked = chosen(len(images), share, generator)
    if not marked.any():
        return images
    images = images.clone()
    for index in marked.nonzero().flatten().tolist():
        number = int(torch.randint(len(_MARKERS), (1,), generator=generator))
        height, x, depth, brightness, edge = torch.rand(5, generator=generator).tolist()
        letters = _resized(_letters(_MARKERS[number]), (0.04 + 0.06 * height) * images.shape[-1])
        y = 0.15 * depth if edge < 0.5 else 1 - 0.15 * depth
        _put(images[index, 0], letters * (0.6 + 0.4 * brightness), x, y)
    return images


def _put(image: Tensor, patch: Tensor, x: float, y: float) -> None:
    """Lay a bright patch over an image.

    Args:
        image: S x S, changed in place.
        patch: h x w.
        x, y: position, as fractions of the free space.
    """
    side = image.shape[0]
    patch = patch[:side, :side].to(image.device)
    top, left = int(y * (side - patch.shape[0])), int(x * (side - patch.shape[1]))
    window = image[top : top + patch.shape[0], left : left + patch.shape[1]]
    torch.maximum(window, patch, out=window)


def _resized(patch: Tensor, height: float) -> Tensor:
    rows = max(2, round(height))
    columns = max(2, round(height * patch.shape[1] / patch.shape[0]))
    return F.interpolate(patch[None, None], size=(rows, columns), mode="area")[0, 0]


@lru_cache(maxsize=len(_MARKERS))
def _letters(text: str) -> Tensor:
    """Return a rendering of a text, h x w in [0, 1], cut to the letters."""
    font = ImageFont.load_default(size=48)
    x0, y0, x1, y1 = (round(edge) for edge in font.getbbox(text))
    canvas = Image.new("L", (x1 - x0, y1 - y0))
    ImageDraw.Draw(canvas).text((-x0, -y0), text, fill=255, font=font)
    rendered: Tensor = pil_to_tensor(canvas)[0]
    return rendered.float() / 255


def _resolution(images: Tensor, share: float, generator: Generator) -> Tensor:
    """Reduce some images to 25 to 80 percent of their resolution, and enlarge them again."""
    blurred = chosen(len(images), share, generator)
    factors = uniform(len(images), 0.25, 0.8, generator).tolist()
    return _each(images, blurred, lambda index, image: _blurred(image, factors[index]))


def _blurred(image: Tensor, factor: float) -> Tensor:
    side = image.shape[-1]
    small = F.interpolate(image[None], size=max(2, round(side * factor)), mode="area")
    return F.interpolate(small, size=side, mode="bilinear", align_corners=False)[0]


def _jpeg(images: Tensor, share: float, generator: Generator) -> Tensor:
    """Encode some images as JPEG of quality 15 to 80, and decode them again."""
    encoded = chosen(len(images), share, generator)
    qualities = uniform(len(images), 15, 80, generator).long().tolist()
    return _each(images, encoded, lambda index, image: _through_jpeg(image, qualities[index]))


def _through_jpeg(image: Tensor, quality: int) -> Tensor:
    samples = (image[0] * 255).round().to(torch.uint8).cpu().numpy()
    file = io.BytesIO()
    Image.fromarray(samples).save(file, "JPEG", quality=quality)
    with Image.open(file) as decoded:
        samples_again: Tensor = pil_to_tensor(decoded)
    return samples_again.to(image.device, image.dtype) / 255


def _each(images: Tensor, which: Tensor, change: Callable[[int, Tensor], Tensor]) -> Tensor:
    """Return the images with a function of index and 1 x S x S image applied to some of them."""
    if not which.any():
        return images
    images = images.clone()
    for index in which.nonzero().flatten().tolist():
        images[index] = change(index, images[index])
    return images
