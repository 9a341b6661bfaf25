"""Measurements of the masks of one radiograph.

masks of left lung, right lung and heart --widths in the upright image--> cardiothoracic ratio

Widths are those of the boxes around the masks. Both lie along the same axis, so that neither the
pixel spacing nor its aspect enters the ratio.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from radiograph.geometry.geometry import Box, Geometry
from radiograph.image import Laterality
from radiograph.postprocess.heads import Mask
from radiograph.terminology.codes import Code, code_of

CARDIOTHORACIC_RATIO = "Cardiothoracic ratio"
NO_UNIT = "1"
"""Unit of a ratio in UCUM."""
_THORAX = ("Left lung", "Right lung")
_HEART = "Heart"


@dataclass(frozen=True)
class Measurement:
    """One number that is measured in an image.

    Attributes:
        name: what is measured.
        code: its code, or None if it has none.
        value: finite.
        unit: in UCUM; `1` for a ratio.
        warnings: reasons for caution with the value, each as `code: message`.
    """

    name: str
    code: Code | None
    value: float
    unit: str
    warnings: tuple[str, ...] = ()


def measure(
    masks: Sequence[Mask], geometry: Geometry, laterality: Laterality, view_position: str | None
) -> tuple[Measurement, ...]:
    """Return every measurement that the masks allow.

    Args:
        masks: masks of one image.
        geometry: size and orientation of the image.
        laterality: evidence for the sides. Nothing is measured if it is `unknown`: the projection
            is lateral, or it is not known which way is up.
        view_position: View Position (0018,5101), or None.
    """
    boxes = {mask.name: mask.box for mask in masks}
    found = _Widths.of(boxes, geometry)
    if found is None or laterality == "unknown":
        return ()
    warnings = (*_unusual_view(view_position), *found.warnings())
    code = code_of(CARDIOTHORACIC_RATIO)
    return (Measurement(CARDIOTHORACIC_RATIO, code, found.ratio, NO_UNIT, warnings),)


def cardiothoracic_ratio(boxes: Mapping[str, Box | None], geometry: Geometry) -> float | None:
    """Return the width of the heart over that of the thorax; None without one of the masks.

    The width of the thorax is that of both lungs together, from the outermost pixel of one to the
    outermost pixel of the other, which is how data sets measure it in masks.

    Args:
        boxes: structure -> box around its mask in source pixels, None for an empty mask.
        geometry: size and orientation of the image.
    """
    found = _Widths.of(boxes, geometry)
    return None if found is None else found.ratio


@dataclass(frozen=True)
class _Widths:
    """Extents of heart and thorax from side to side of the upright image, in pixels.

    Attributes:
        heart, thorax: left and right edge in the image, half-open.
        shown: left and right edge of the part of the image that the model saw.
    """

    heart: tuple[float, float]
    thorax: tuple[float, float]
    shown: tuple[int, int]

    @classmethod
    def of(cls, boxes: Mapping[str, Box | None], geometry: Geometry) -> "_Widths | None":
        """Return the extents; None if a mask is missing or empty."""
        heart, left, right = (boxes.get(name) for name in (_HEART, *_THORAX))
        if heart is None or left is None or right is None:
            return None
        lungs = [_across(box, geometry) for box in (left, right)]
        thorax = min(lung[0] for lung in lungs), max(lung[1] for lung in lungs)
        part = geometry.part
        return cls(_across(heart, geometry), thorax, (part.left, part.left + part.columns))

    @property
    def ratio(self) -> float:
        return (self.heart[1] - self.heart[0]) / (self.thorax[1] - self.thorax[0])

    def warnings(self) -> Iterator[str]:
        """Yield the reasons why one of the widths may be wrong."""
        if self.thorax[0] <= self.shown[0] or self.thorax[1] >= self.shown[1]:
            yield "cut_off: a lung reaches the edge of the image; the thorax may be wider"
        if self.heart[0] < self.thorax[0] or self.heart[1] > self.thorax[1]:
            yield "implausible: the mask of the heart reaches beyond the lungs"


def _across(box: Box, geometry: Geometry) -> tuple[float, float]:
    """Return the left and the right edge of a box, in pixels of the upright image."""
    x0, _, x1, _ = geometry.orientation.box(box, geometry.rows, geometry.columns)
    return x0, x1


def _unusual_view(view_position: str | None) -> Iterator[str]:
    """Yield a warning unless the view is posteroanterior, for which the ratio is defined."""
    if view_position != "PA":
        stated = "the view is not stated" if view_position is None else f"it is {view_position}"
        yield (
            f"view_not_pa: the ratio is defined for a posteroanterior view and {stated}; other "
            "views may show the heart larger"
        )
