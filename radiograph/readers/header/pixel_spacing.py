"""Pixel spacing: the distance between the centres of neighbouring pixels, in millimetres.

    Pixel Spacing (0028,0030)                  may be calibrated in the plane of the patient
    Imager Pixel Spacing (0018,1164)           at the detector, and therefore magnified
    Nominal Scanned Pixel Spacing (0018,2010)  of a digitised film
    Pixel Aspect Ratio (0028,0034)             the shape of a pixel alone

The first usable attribute is used, in this order. Pixel Spacing that repeats Imager Pixel Spacing,
up to rounding, is not calibrated and counts as spacing at the detector. A value of zero means
unknown in real files. Spacing at the detector is returned uncorrected, with a warning: dividing it
by an estimated magnification factor would mix a measurement with an estimate.

Codes of the warnings:

    spacing_at_detector    distances are measured at the detector and are therefore magnified
    anisotropic_pixels     pixels are not square

Source: DICOM PS3.3 sections 10.7.1.3 and C.8.11.4.
"""

import math
from functools import partial

from radiograph.readers.header.attributes import Attributes

Spacing = tuple[float, float]

_KEYWORDS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_PLAUSIBLE_MM = (0.01, 10.0)
_MAX_SQUARE_RATIO = 1.01
_PLAUSIBLE_MAGNIFICATION = (1.0, 4.0)
_ROUNDING = 1e-3
"""Largest relative difference of two decimals of one distance, as `0.143` and `0.1430625`."""


def pixel_spacing(
    header: Attributes,
) -> tuple[Spacing | None, Spacing | None, tuple[str, ...]]:
    """Return the distance between pixel centres, or else the shape of a pixel.

    Returns:
        spacing_mm: (between rows, between columns), or None if it is unknown.
        aspect_ratio: height and width of a pixel in any unit, where no spacing tells them, or None.
        warnings: each as `code: message`.
    """
    spacings = {name: spacing for name in _KEYWORDS if (spacing := _plausible(header, name))}
    spacing = next(iter(spacings.values()), None)
    at_detector = spacings.get("ImagerPixelSpacing")
    warnings = []
    if spacing is not None and at_detector is not None and _are_equal(spacing, at_detector):
        warnings.append(_detector_warning(header))
    aspect_ratio = _aspect_ratio(header) if spacing is None else None
    if _is_anisotropic(spacing or aspect_ratio):
        warnings.append("anisotropic_pixels: pixels are not square; shapes are as stored")
    return spacing, aspect_ratio, tuple(warnings)


def _plausible(header: Attributes, keyword: str) -> Spacing | None:
    """Return the two values of an attribute if both are plausible distances."""
    values = header.numbers(keyword)
    lowest, highest = _PLAUSIBLE_MM
    if len(values) != 2 or not all(lowest <= value <= highest for value in values):
        return None
    return values[0], values[1]


def _are_equal(spacing: Spacing, other: Spacing) -> bool:
    """Return whether two spacings are equal up to the rounding of their decimals."""
    return all(map(partial(math.isclose, rel_tol=_ROUNDING), spacing, other))


def _detector_warning(header: Attributes) -> str:
    """Return the warning of spacing at the detector, with the magnification if it is known.

    The factor is Estimated Radiographic Magnification Factor (0018,1114).
    """
    lowest, highest = _PLAUSIBLE_MAGNIFICATION
    factors = header.numbers("EstimatedRadiographicMagnificationFactor")
    by_factor = ""
    if factors and lowest <= factors[0] <= highest:
        by_factor = f" by about {factors[0]:.2f}"
    return f"spacing_at_detector: distances are at the detector, magnified{by_factor}"


def _aspect_ratio(header: Attributes) -> Spacing | None:
    """Return Pixel Aspect Ratio (0028,0034): height and width of a pixel, whole numbers."""
    sides = header.numbers("PixelAspectRatio")
    if len(sides) != 2 or not all(side > 0 and side.is_integer() for side in sides):
        return None
    return sides[0], sides[1]


def _is_anisotropic(sides: Spacing | None) -> bool:
    """Return whether pixels of this height and width are not square."""
    return sides is not None and max(sides) > min(sides) * _MAX_SQUARE_RATIO
