"""Spacing: how far apart the centres of neighbouring pixels are, in millimetres.

    Pixel Spacing (0028,0030)                 may be calibrated in the patient
    Imager Pixel Spacing (0018,1164)          at the detector, and so magnified
    Nominal Scanned Pixel Spacing (0018,2010) of a digitised film

The first that is usable counts. Zeros mean unknown in real files. Distances at the detector
are given as they stand, with a caution: dividing by an estimated magnification factor would
mix a measurement with an estimate.

    spacing_at_detector    distances are measured at the detector and so are magnified
    anisotropic_pixels     pixels are not square

Source: PS3.3 sections 10.7.1.3 and C.8.11.4.
"""

from radiograph.readers.attributes import Attributes

Spacing = tuple[float, float]

_SOURCES = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_PLAUSIBLE_MM = (0.01, 10.0)
_SQUARE_WITHIN = 1.01
_MAGNIFICATION = (1.0, 4.0)


def pixel_spacing(header: Attributes) -> tuple[Spacing | None, tuple[str, ...]]:
    """Find the distance between pixel centres.

    Returns:
        spacing_mm: (between rows, between columns), or None when unknown.
        cautions: as `code: message`.
    """
    found = {name: spacing for name in _SOURCES if (spacing := _pair(header, name))}
    spacing = next(iter(found.values()), None)
    cautions = []
    if spacing is not None and spacing == found.get("ImagerPixelSpacing"):
        cautions.append(_magnified(header))
    if _anisotropic(header, spacing):
        cautions.append("anisotropic_pixels: pixels are not square; shapes are as stored")
    return spacing, tuple(cautions)


def _pair(header: Attributes, name: str) -> Spacing | None:
    values = header.numbers(name)
    least, most = _PLAUSIBLE_MM
    if len(values) != 2 or not all(least <= value <= most for value in values):
        return None
    return values[0], values[1]


def _magnified(header: Attributes) -> str:
    """The caution for distances at the detector, with the estimated factor where there is one."""
    least, most = _MAGNIFICATION
    factors = header.numbers("EstimatedRadiographicMagnificationFactor")
    known = f" by about {factors[0]:.2f}" if factors and least <= factors[0] <= most else ""
    return f"spacing_at_detector: distances are at the detector, magnified{known}"


def _anisotropic(header: Attributes, spacing: Spacing | None) -> bool:
    """By the spacing, or by Pixel Aspect Ratio (0028,0034) where there is none."""
    sides = spacing or header.numbers("PixelAspectRatio")
    if len(sides) != 2 or not all(side > 0 for side in sides):
        return False
    return max(sides) > min(sides) * _SQUARE_WITHIN
