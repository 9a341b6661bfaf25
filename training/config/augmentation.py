"""Configuration of the random augmentation of training images.

`training.data.batches.augment` carries it out.
"""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from radiograph.strict_model import StrictModel


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
