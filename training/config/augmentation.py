"""Configuration of the random augmentation of training images.

`training.data.augmentation.augment` carries it out.
"""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from radiograph.strict_model import StrictModel


class AppearanceConfig(StrictModel):
    """Differences between hospitals, devices and exports; 0 switches each of them off.

    A `share` is the probability that an image is changed, and the change of every image differs.
    """

    tone: float = Field(default=0.4, ge=0, le=2)
    """Standard deviation of the logarithm of the slopes of a random tone curve."""
    local_contrast: float = Field(default=0.8, ge=0, le=2)
    """Largest gain of fine contrast; its largest loss, and that of coarse contrast, is half."""
    shading: float = Field(default=0.2, ge=0, lt=1)
    """Largest relative change of brightness by a smooth field."""
    window: float = Field(default=0.15, ge=0, lt=0.5)
    """Largest shift of black and of white, as a fraction of the full range."""
    cutout_share: float = Field(default=0.15, ge=0, le=1)
    """A rectangle is filled with one brightness."""
    collimation_share: float = Field(default=0.15, ge=0, le=1)
    """The edges are dark, as outside a collimated field."""
    marker_share: float = Field(default=0.3, ge=0, le=1)
    """Letters are written near an edge."""
    border_share: float = Field(default=0.15, ge=0, le=1)
    """The image is smaller, and in a black or white frame."""
    border_width: float = Field(default=0.12, ge=0, lt=0.5)
    """Largest width of a frame on each side, as a fraction of the image side."""
    white_border_share: float = Field(default=0.3, ge=0, le=1)
    """What surrounds the image is white; otherwise it is black."""
    inverted_share: float = Field(default=0.03, ge=0, le=1)
    """Black and white are exchanged, as where the polarity of a file was lost."""
    resolution_share: float = Field(default=0.25, ge=0, le=1)
    """The image is reduced and enlarged again."""
    jpeg_share: float = Field(default=0.25, ge=0, le=1)
    """The image is compressed as JPEG."""


class AugmentConfig(StrictModel):
    """Affine and intensity augmentation. Never a flip: it would swap left and right."""

    kind: Literal["affine"] = "affine"
    rotate_deg: float = Field(default=10.0, ge=0, le=45)
    """Largest rotation in either direction, in degrees."""
    translate: float = Field(default=0.08, ge=0, lt=1)
    """Largest shift along each axis, as a fraction of the image side."""
    scale: float = Field(default=0.15, ge=0, lt=1)
    """The scale factor lies between 1 - scale and 1 + scale."""
    gamma: float = Field(default=0.35, ge=0, lt=1)
    """The exponent of the intensities lies between 1 - gamma and 1 / (1 - gamma)."""
    contrast: float = Field(default=0.25, ge=0)
    """The contrast factor about the mean lies between 1 - contrast and 1 + contrast."""
    noise: float = Field(default=0.02, ge=0)
    """Largest standard deviation of the Gaussian noise, as a fraction of the full range."""
    appearance: AppearanceConfig | None = Field(
        default=None, exclude_if=lambda value: value is None
    )
    """Further changes of appearance; null changes nothing else."""


class PaperAugmentConfig(StrictModel):
    """Augmentation of the G2D paper: random perspective and auto contrast.

    The paper's third augmentation, random grayscale, is the identity on radiographs, which have
    one channel. The paper states no strengths; the defaults are those of torchvision.
    """

    kind: Literal["paper"]
    distortion: float = Field(default=0.5, ge=0, lt=1)
    """Each corner moves inwards by up to this fraction of half the image side."""
    perspective_share: float = Field(default=0.5, ge=0, le=1)
    """Probability that an image is distorted."""
    autocontrast_share: float = Field(default=0.5, ge=0, le=1)
    """Probability that an image is stretched so that its intensities span 0 to 1."""


class ReleasedAugmentConfig(StrictModel):
    """Augmentation of the released code: rotation, shear, and brightness and contrast jitter."""

    kind: Literal["released"]
    rotate_deg: float = Field(default=15.0, ge=0, le=45)
    """Largest rotation in either direction, in degrees."""
    shear_deg: float = Field(default=15.0, ge=0, le=45)
    """Largest angle by which vertical edges are sheared, in degrees."""
    brightness: float = Field(default=0.2, ge=0, le=1)
    """The brightness factor lies between 1 - brightness and 1 + brightness."""
    contrast: float = Field(default=0.2, ge=0, le=1)
    """The contrast factor about the mean lies between 1 - contrast and 1 + contrast."""


class ShiftScaleRotateConfig(StrictModel):
    """Augmentation of MGCA's segmentation: scaled and rotated images, intensities unchanged."""

    kind: Literal["shift_scale_rotate"]
    rotate_deg: float = Field(default=10.0, ge=0, le=45)
    """Largest rotation in either direction, in degrees."""
    scale: float = Field(default=0.1, ge=0, lt=1)
    """The scale factor lies between 1 - scale and 1 + scale."""
    translate: float = Field(default=0.0, ge=0, lt=1)
    """Largest shift along each axis, as a fraction of the image side; 0 in the released code."""
    share: float = Field(default=0.5, ge=0, le=1)
    """Probability that an image is changed."""


class CropConfig(StrictModel):
    """Random square of each image at its own resolution, as in MGCA's linear classification.

    Validation, evaluation and service see the whole image, in which everything has the same size.
    """

    kind: Literal["crop"]
    crop_px: int = Field(default=224, ge=32, multiple_of=32)
    """Side of the square."""


class NoAugmentConfig(StrictModel):
    """No augmentation; the features of a frozen encoder are then computed once and kept."""

    kind: Literal["none"]


def _augment_kind(given: object) -> str:
    """Return the kind; configurations written before there were several name none."""
    found = given.get("kind", "affine") if isinstance(given, dict) else getattr(given, "kind", "")
    return str(found)


Augmentation = Annotated[
    Annotated[AugmentConfig, Tag("affine")]
    | Annotated[PaperAugmentConfig, Tag("paper")]
    | Annotated[ReleasedAugmentConfig, Tag("released")]
    | Annotated[ShiftScaleRotateConfig, Tag("shift_scale_rotate")]
    | Annotated[CropConfig, Tag("crop")]
    | Annotated[NoAugmentConfig, Tag("none")],
    Discriminator(_augment_kind),
]
"""Any of the above, told apart by `kind`."""
