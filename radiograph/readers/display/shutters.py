"""Display shutter of a DICOM header.

    Shutter Shape (0018,1600), one to three of
      RECTANGULAR   Left and Right Vertical Edge (1602, 1604), Upper and Lower Horizontal Edge
                    (1606, 1608)
      CIRCULAR      Center (1610), row and column, and Radius of Circular Shutter (1612)
      POLYGONAL     Vertices of the Polygonal Shutter (1620), row and column of each

Rows and columns are counted from 1. A shape that is incomplete, or that hides almost all of the
image, is left out with a warning.

    shutter_unusable    a shape of the display shutter cannot be used

Source: DICOM PS3.3 section C.7.6.11.
"""

from dataclasses import replace

import numpy as np

from radiograph.geometry.shutter import Shutter
from radiograph.readers.header.attributes import Attributes

_EDGES = (
    "ShutterLeftVerticalEdge",
    "ShutterUpperHorizontalEdge",
    "ShutterRightVerticalEdge",
    "ShutterLowerHorizontalEdge",
)
_UNUSABLE = "shutter_unusable: a shape of the display shutter was left out"
_MAX_COORDINATE = 1e6
_PROBES = 32
"""Points along each side of the image at which the visible share is measured."""

_MIN_VISIBLE = 1 / 32
"""Share of the image that a shutter has to leave visible."""


def read_shutter(
    header: Attributes, rows: int, columns: int
) -> tuple[Shutter | None, tuple[str, ...]]:
    """Read the display shutter of an image.

    Args:
        header: the data set.
        rows, columns: size of the image.

    Returns:
        shutter: the visible part, or None if the header declares no usable shape.
        warnings: each as `code: message`.
    """
    shutter = Shutter()
    warnings: tuple[str, ...] = ()
    x = (np.arange(_PROBES) + 0.5) * columns / _PROBES
    y = (np.arange(_PROBES) + 0.5) * rows / _PROBES
    for shape in header.texts("ShutterShape")[: len(_SHAPES)]:
        read = _SHAPES.get(shape)
        wider = None if read is None else read(header, shutter)
        if wider is None or wider.shows(x, y).mean() < _MIN_VISIBLE:
            warnings = (_UNUSABLE,)
        else:
            shutter = wider
    return (None if shutter == Shutter() else shutter), warnings


def _with_rectangle(header: Attributes, shutter: Shutter) -> Shutter | None:
    edges = [_numbers(header, keyword, 1) for keyword in _EDGES]
    if not all(edges):
        return None
    (left,), (top,), (right,), (bottom,) = edges
    return replace(shutter, rectangle=(left - 1, top - 1, right, bottom))


def _with_circle(header: Attributes, shutter: Shutter) -> Shutter | None:
    centre = _numbers(header, "CenterOfCircularShutter", 2)
    radius = _numbers(header, "RadiusOfCircularShutter", 1)
    if not centre or not radius or radius[0] <= 0:
        return None
    return replace(shutter, circle=(centre[1] - 0.5, centre[0] - 0.5, radius[0]))


def _with_polygon(header: Attributes, shutter: Shutter) -> Shutter | None:
    numbers = _numbers(header, "VerticesOfThePolygonalShutter")
    if len(numbers) < 6 or len(numbers) % 2:
        return None
    rows, columns = numbers[0::2], numbers[1::2]
    vertices = [(column - 0.5, row - 0.5) for row, column in zip(rows, columns, strict=True)]
    return replace(shutter, polygon=tuple(vertices))


_SHAPES = {"RECTANGULAR": _with_rectangle, "CIRCULAR": _with_circle, "POLYGONAL": _with_polygon}


def _numbers(header: Attributes, keyword: str, count: int | None = None) -> tuple[float, ...]:
    """Return the values of an attribute, or none if one is no pixel or they are not `count`."""
    numbers = header.numbers(keyword)
    if count is not None and len(numbers) != count:
        return ()
    return numbers if all(abs(number) <= _MAX_COORDINATE for number in numbers) else ()
