"""Random augmentation of a batch of training images, with their masks and boxes.

    kind                geometry               intensity
    affine              rotate, scale, shift   gamma, contrast, noise   ours, see also `appearance`
    paper               perspective            auto contrast            grayscale: no effect here
    released            rotate, shear          brightness, contrast     of the released code
    shift_scale_rotate  rotate, scale, shift   -                        of MGCA's segmentation
    crop                a random square        -                        of MGCA's classification
    none                -                      -

Never a flip: it would swap the patient's left and right. All random numbers come from a generator
that the caller seeds, so that a resumed run sees the same images. The numbers, a few for each
image, are drawn on the CPU; images are changed on their own device. The geometry is drawn first:
`draw_geometry` and `augment` with equal seeds have the same, so that masks and boxes can be moved
where a batch is loaded, and its images later on another device.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from training.config.augmentation import (
    Augmentation,
    AugmentConfig,
    CropConfig,
    NoAugmentConfig,
    PaperAugmentConfig,
    ReleasedAugmentConfig,
    ShiftScaleRotateConfig,
)
from training.data.augmentation import appearance, warp
from training.data.augmentation.draws import per_image, uniform

_Changing = AugmentConfig | PaperAugmentConfig | ReleasedAugmentConfig | ShiftScaleRotateConfig


@dataclass(frozen=True)
class Geometry:
    """The geometric changes of a batch.

    Attributes:
        matrix: B x 3 x 3 on the CPU, old -> new coordinates, as fractions of the image side.
        squares: rows and columns of the square that is cut out of each image, for a crop.
        still: True if nothing moves.
    """

    matrix: Tensor
    squares: tuple[tuple[slice, slice], ...] = ()
    still: bool = False

    def move_masks(self, masks: Tensor) -> Tensor:
        """Return the masks after the change, B x P x S x S uint8; a crop is smaller.

        Args:
            masks: B x P x S x S, uint8 planes of bits.
        """
        if self.still:
            return masks
        if self.squares:
            return self.cut(masks)
        grid = warp.sampling_grid(self.matrix, masks.shape[-1], masks.device)
        return _nearest(masks, grid)

    def cut(self, images: Tensor) -> Tensor:
        """Return the square of each of B x C x S x S images."""
        each = zip(images, self.squares, strict=True)
        return torch.stack([image[:, ys, xs] for image, (ys, xs) in each])

    def move_boxes(self, index: int, boxes: Tensor) -> Tensor:
        """Return the bounds of M x 4 boxes of one image after the change.

        Args:
            index: index of the image.
            boxes: M x 4, (x0, y0, x1, y1) as fractions of the image side.
        """
        # M x 4 corners x 2: a rotated or sheared box needs all four to find its bounds.
        corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
        moved = warp.move(corners, self.matrix[index])
        return torch.cat([moved.amin(dim=1), moved.amax(dim=1)], dim=1).clamp(0, 1)


@dataclass(frozen=True)
class Augmented:
    """An augmented batch.

    Attributes:
        images: B x 1 x S x S in [0, 1]; a crop is smaller than the images that were given.
        masks: B x P x S x S, uint8 planes of bits, or None.
        geometry: changes of the places.
    """

    images: Tensor
    masks: Tensor | None
    geometry: Geometry


def augment(
    images: Tensor, masks: Tensor | None, config: Augmentation, generator: Generator
) -> Augmented:
    """Apply the geometric changes, then those of intensity.

    Args:
        images: B x 1 x S x S in [0, 1].
        masks: B x P x S x S, uint8 planes of bits, or None.
        config: kind and strength of the changes.
        generator: CPU generator; equal seeds give equal batches.
    """
    geometry = draw_geometry(len(images), images.shape[-1], config, generator)
    if isinstance(config, NoAugmentConfig):
        return Augmented(images, masks, geometry)
    if isinstance(config, CropConfig):
        planes = None if masks is None else geometry.cut(masks)
        return Augmented(geometry.cut(images), planes, geometry)
    grid = warp.sampling_grid(geometry.matrix, images.shape[-1], images.device)
    changed = _intensity(warp.warp(images, grid, "bilinear"), config, generator)
    look = config.appearance if isinstance(config, AugmentConfig) else None
    if look is not None:
        inside = (grid.abs() <= 1).all(dim=3).unsqueeze(1)
        changed = appearance.change_appearance(changed, look, generator)
        changed = appearance.change_export(changed, inside, look, generator)
    return Augmented(changed, None if masks is None else _nearest(masks, grid), geometry)


def draw_geometry(count: int, side_px: int, config: Augmentation, generator: Generator) -> Geometry:
    """Draw the geometric changes that `augment` makes with a generator in the same state.

    Args:
        count: number of images, B.
        side_px: side of the images, S.
        config: kind and strength of the changes.
        generator: CPU generator.
    """
    if isinstance(config, NoAugmentConfig):
        return Geometry(torch.eye(3).expand(count, 3, 3), still=True)
    if isinstance(config, CropConfig):
        return _crop(count, side_px, config.crop_px, generator)
    matrix = _matrix(count, config, generator)
    if isinstance(config, AugmentConfig) and config.appearance is not None:
        matrix = appearance.frame(count, config.appearance, generator) @ matrix
    return Geometry(matrix)


def works_on_host(config: Augmentation) -> bool:
    """Return whether single images are changed on the host, as the encoding of JPEG is."""
    return isinstance(config, AugmentConfig) and config.appearance is not None


def _nearest(masks: Tensor, grid: Tensor) -> Tensor:
    """Return planes of bits at the points of a grid, without mixing bits."""
    return warp.warp(masks.float(), grid, "nearest").to(torch.uint8)


def _crop(count: int, side_px: int, crop_px: int, generator: Generator) -> Geometry:
    """Draw a square in each image; every position is equally likely."""
    corners = torch.randint(side_px - crop_px + 1, (count, 2), generator=generator)  # B x (x, y)
    squares = [(slice(y, y + crop_px), slice(x, x + crop_px)) for x, y in corners.tolist()]
    matrix = torch.eye(3).repeat(count, 1, 1)
    matrix[:, :2] *= side_px / crop_px
    matrix[:, :2, 2] = -corners / crop_px
    return Geometry(matrix, tuple(squares))


def _matrix(count: int, config: _Changing, generator: Generator) -> Tensor:
    if isinstance(config, PaperAugmentConfig):
        return _perspective(count, config, generator)
    if isinstance(config, ReleasedAugmentConfig):
        return _rotation_and_shear(count, config, generator)
    if isinstance(config, ShiftScaleRotateConfig):
        drawn = _similarity(count, config, generator)
        chosen = torch.rand(count, generator=generator) < config.share
        return torch.where(chosen.view(-1, 1, 1), drawn, torch.eye(3))
    return _similarity(count, config, generator)


def _intensity(images: Tensor, config: _Changing, generator: Generator) -> Tensor:
    if isinstance(config, PaperAugmentConfig):
        return _autocontrast(images, config.autocontrast_share, generator)
    if isinstance(config, ReleasedAugmentConfig):
        return _jitter(images, config, generator)
    if isinstance(config, ShiftScaleRotateConfig):
        return images
    return _gamma_contrast_noise(images, config, generator)


def _matrices(rows: list[list[Tensor]]) -> Tensor:
    """Stack entries of B numbers each to matrices, B x rows x columns."""
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def _similarity(
    count: int, config: AugmentConfig | ShiftScaleRotateConfig, generator: Generator
) -> Tensor:
    """Draw rotations, scales and shifts, B x 3 x 3."""
    angle = uniform(count, -config.rotate_deg, config.rotate_deg, generator) * math.pi / 180
    scale = uniform(count, 1 - config.scale, 1 + config.scale, generator)
    shift = torch.stack(
        [uniform(count, -config.translate, config.translate, generator) for _ in range(2)], dim=1
    )
    cos, sin = scale * angle.cos(), scale * angle.sin()
    return warp.about_centre(_matrices([[cos, -sin], [sin, cos]]), shift)


def _rotation_and_shear(count: int, config: ReleasedAugmentConfig, generator: Generator) -> Tensor:
    """Draw shears of the vertical edges followed by rotations, B x 3 x 3."""
    rotation, shear = (
        uniform(count, -most, most, generator) * math.pi / 180
        for most in (config.rotate_deg, config.shear_deg)
    )
    one, zero = torch.ones(count), torch.zeros(count)
    sheared = _matrices([[one, shear.tan()], [zero, one]])
    rotated = _matrices([[rotation.cos(), -rotation.sin()], [rotation.sin(), rotation.cos()]])
    return warp.about_centre(rotated @ sheared, torch.zeros(count, 2))


def _perspective(count: int, config: PaperAugmentConfig, generator: Generator) -> Tensor:
    """Draw perspectives, B x 3 x 3; each corner moves inwards but stays in its quadrant."""
    corners = torch.tensor(warp.CORNERS)
    inwards = torch.rand(count, 4, 2, generator=generator) * config.distortion / 2
    chosen = torch.rand(count, generator=generator) < config.perspective_share
    # 1 - 2 * corner points from each corner to the centre of the image.
    moved = corners + (1 - 2 * corners) * inwards * chosen.view(-1, 1, 1)
    return warp.perspective(moved)


def _autocontrast(images: Tensor, share: float, generator: Generator) -> Tensor:
    """Stretch randomly chosen images to span 0 to 1; constant images are unchanged."""
    chosen = per_image(images, torch.rand(len(images), generator=generator) < share)
    low, high = images.amin(dim=(1, 2, 3), keepdim=True), images.amax(dim=(1, 2, 3), keepdim=True)
    spans = high > low
    stretched = (images - low) / torch.where(spans, high - low, torch.ones_like(low))
    return torch.where(chosen & spans, stretched, images).clamp(0, 1)


def _jitter(images: Tensor, config: ReleasedAugmentConfig, generator: Generator) -> Tensor:
    """Change brightness and contrast about the mean, in random order."""
    count = len(images)
    factor = uniform(count, 1 - config.brightness, 1 + config.brightness, generator)
    spread = uniform(count, 1 - config.contrast, 1 + config.contrast, generator)
    brightness, contrast = per_image(images, factor), per_image(images, spread)
    contrast_first = per_image(images, torch.rand(count, generator=generator) < 0.5)
    brightness_first = _contrast((images * brightness).clamp(0, 1), contrast)
    contrast_then_brightness = (_contrast(images, contrast) * brightness).clamp(0, 1)
    return torch.where(contrast_first, contrast_then_brightness, brightness_first)


def _contrast(images: Tensor, factor: Tensor) -> Tensor:
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return ((images - mean) * factor + mean).clamp(0, 1)


def _gamma_contrast_noise(images: Tensor, config: AugmentConfig, generator: Generator) -> Tensor:
    """Change gamma and contrast about the mean and add noise; the result stays in [0, 1]."""
    count = len(images)
    exponent = uniform(count, -1.0, 1.0, generator) * -math.log(1 - config.gamma)
    # The exponent is symmetric in the logarithm, between 1 - gamma and 1 / (1 - gamma).
    factor = uniform(count, 1 - config.contrast, 1 + config.contrast, generator)
    sigma = uniform(count, 0.0, config.noise, generator)
    noise = torch.randn(images.shape, generator=generator).to(images.device, non_blocking=True)
    shaped = images.clamp(0, 1) ** per_image(images, exponent.exp())
    mean = shaped.mean(dim=(1, 2, 3), keepdim=True)
    changed = (shaped - mean) * per_image(images, factor) + mean
    return (changed + per_image(images, sigma) * noise).clamp(0, 1)
