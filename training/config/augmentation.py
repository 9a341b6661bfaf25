"""Configuration of the random changes of training images (`training.data.batches.augment`)."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from training.config.base import Strict


class AugmentConfig(Strict):
    """Random changes of training images. Never a flip: it would swap left and right."""

    kind: Literal["affine"] = "affine"
    rotate_deg: float = Field(default=10.0, ge=0, le=45)
    translate: float = Field(default=0.08, ge=0, lt=1)
    """Of the side of the image."""
    scale: float = Field(default=0.15, ge=0, lt=1)
    """Factor between 1 - scale and 1 + scale."""
    gamma: float = Field(default=0.35, ge=0, lt=1)
    """Exponent between 1 - gamma and 1 + gamma / (1 - gamma)."""
    contrast: float = Field(default=0.25, ge=0)
    """Factor between 1 - contrast and 1 + contrast about the mean."""
    noise: float = Field(default=0.02, ge=0)
    """Largest standard deviation of the Gaussian noise, of the full range."""


class PaperAugmentConfig(Strict):
    """The paper's: random perspective and auto contrast.

    Its third, random grayscale, is the identity on radiographs, which have one channel. The
    paper names no strengths; these are torchvision's defaults.
    """

    kind: Literal["paper"]
    distortion: float = Field(default=0.5, ge=0, lt=1)
    """Corners move inwards by up to this share of half a side."""
    perspective_share: float = Field(default=0.5, ge=0, le=1)
    """Of the images, that are distorted."""
    autocontrast_share: float = Field(default=0.5, ge=0, le=1)
    """Of the images, whose darkest pixel becomes 0 and whose brightest becomes 1."""


class ReleasedAugmentConfig(Strict):
    """The released code's: rotation and shear, jitter of brightness and contrast."""

    kind: Literal["released"]
    rotate_deg: float = Field(default=15.0, ge=0, le=45)
    shear_deg: float = Field(default=15.0, ge=0, le=45)
    """Of the vertical edges."""
    brightness: float = Field(default=0.2, ge=0, le=1)
    """Factor between 1 - brightness and 1 + brightness."""
    contrast: float = Field(default=0.2, ge=0, le=1)
    """Factor between 1 - contrast and 1 + contrast about the mean."""


class NoAugmentConfig(Strict):
    """None: images stay as they are, and what a frozen encoder makes of them is kept."""

    kind: Literal["none"]


def _augment_kind(given: object) -> str:
    """Earlier configurations name no kind: there was one."""
    found = given.get("kind", "affine") if isinstance(given, dict) else getattr(given, "kind", "")
    return str(found)


Augmentation = Annotated[
    Annotated[AugmentConfig, Tag("affine")]
    | Annotated[PaperAugmentConfig, Tag("paper")]
    | Annotated[ReleasedAugmentConfig, Tag("released")]
    | Annotated[NoAugmentConfig, Tag("none")],
    Discriminator(_augment_kind),
]
