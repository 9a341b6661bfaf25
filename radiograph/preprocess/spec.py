"""Specification of the preprocessing: the parameters that a manifest holds, and the placement.

The placement follows from facts of the image that a decoder process reports, so that the service
can compute it too.
"""

from math import isfinite
from typing import Literal

from pydantic import Field, model_validator

from radiograph.geometry import geometry
from radiograph.geometry.geometry import Geometry
from radiograph.geometry.orientation import Orientation
from radiograph.strict_model import StrictModel

_MAX_ASPECT = 4.0
"""Largest credible ratio of the sides of a pixel; a larger one is taken for a mistake."""

_SQUARE_ASPECT = 1.01
"""Ratio of the sides up to which pixels count as square."""


class PreprocessSpec(StrictModel):
    """Parameters of the preprocessing. Equal parameters give equal tensors.

    Version 1 resizes the displayed pixels as they are stored. Version 2 reduces the stored samples
    before it looks them up, leaves padding, shutters and constant borders out of the percentiles,
    and makes pixels square.
    """

    version: Literal[1, 2] = 1
    size_px: int = Field(default=224, ge=32, le=2048, multiple_of=32)
    """Side of the square grid of the model, in pixels."""
    resize: Literal["bilinear_antialias"] = "bilinear_antialias"
    """Resampling filter: a triangle whose support grows with the reduction."""
    pad: Literal["centre_black"] = "centre_black"
    """Placement of the image in the square, and the value around it."""
    low_percentile: float = Field(default=0.5, ge=0, lt=50)
    """Percentile of the resized image, without padding, that becomes 0."""
    high_percentile: float = Field(default=99.5, gt=50, le=100)
    """Percentile of the resized image, without padding, that becomes 1."""
    mean: float = Field(default=0.5, ge=0, le=1)
    """Mean that is subtracted from intensities in [0, 1]."""
    std: float = Field(default=0.5, ge=0.01, le=10)
    """Standard deviation by which intensities are divided after that."""
    crop: Literal["none", "exposed_field"] = Field(
        default="none", exclude_if=lambda value: value == "none"
    )
    """Part of the image that fills the square; `exposed_field` needs version 2. The default is
    omitted, as in manifests of version 1."""

    @model_validator(mode="after")
    def _version_has_the_options(self) -> "PreprocessSpec":
        if self.version == 1 and self.crop != "none":
            raise ValueError("preprocessing of version 1 does not crop; set version: 2")
        return self


def place(
    spec: PreprocessSpec,
    rows: int,
    columns: int,
    pixel_sides: tuple[float, float] | None,
    orientation: Orientation,
    field: geometry.Field | None = None,
) -> Geometry:
    """Return the placement of an image in the square grid of the model.

    Args:
        spec: the preprocessing.
        rows, columns: size of the image as it is stored.
        pixel_sides: height and width of a pixel in any unit, such as its spacing, or None.
        orientation: the steps that turn the image upright.
        field: the part of the upright image that is shown, or None for all of it.
    """
    aspect = 1.0 if spec.version == 1 else _aspect(pixel_sides)
    return Geometry.fit(rows, columns, spec.size_px, orientation, aspect, field)


def _aspect(sides: tuple[float, float] | None) -> float:
    """Return the height of a pixel divided by its width, and 1 where it is hardly another."""
    if sides is None or not min(sides) > 0:  # written so that NaN is refused too
        return 1.0
    aspect = sides[0] / sides[1]
    ratio = max(aspect, 1 / aspect) if isfinite(aspect) and aspect > 0 else 1.0
    return aspect if _SQUARE_ASPECT < ratio <= _MAX_ASPECT else 1.0
