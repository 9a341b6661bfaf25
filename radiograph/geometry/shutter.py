"""Display shutter: the part of an image that a display shows; all around it is black.

A shutter hides what the collimator of the tube left unexposed, which would otherwise be displayed
white. Several shapes add up: a pixel is visible if every shape leaves it visible.

Coordinates are those of `geometry`: stored pixels, measured from the outer corner of the top-left
pixel, x to the right and y down.

Source: DICOM PS3.3 section C.7.6.11.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.floating]

_ON_EDGE_PX = 1e-6
"""Distance within which a point lies on an edge, so that no rounding decides about it."""


@dataclass(frozen=True)
class Shutter:
    """Visible part of an image, as the intersection of up to three shapes.

    Attributes:
        rectangle: x0, y0, x1, y1 of the visible rectangle, or None.
        circle: x, y and radius of the visible circle, or None.
        polygon: x, y of each vertex of the visible polygon; empty for none. Its interior is that of
            the even-odd rule, with its edges.
    """

    rectangle: tuple[float, float, float, float] | None = None
    circle: tuple[float, float, float] | None = None
    polygon: tuple[tuple[float, float], ...] = ()

    def shows(self, x: Points, y: Points) -> NDArray[np.bool_]:
        """Return which points of a grid are visible.

        Args:
            x: w, coordinates of the columns of points.
            y: h, coordinates of the rows of points.

        Returns:
            h x w.
        """
        visible = np.ones((y.size, x.size), dtype=np.bool_)
        if self.rectangle is not None:
            left, top, right, bottom = self.rectangle
            visible &= ((left <= x) & (x <= right)) & ((top <= y) & (y <= bottom))[:, None]
        if self.circle is not None:
            centre_x, centre_y, radius = self.circle
            visible &= (x - centre_x) ** 2 + ((y - centre_y) ** 2)[:, None] <= radius**2
        if self.polygon:
            visible &= _inside(self.polygon, x, y)
        return visible


def _inside(polygon: tuple[tuple[float, float], ...], x: Points, y: Points) -> NDArray[np.bool_]:
    """Return which points of a grid lie inside a polygon of V vertices or on its edges, h x w.

    A point is inside if an odd number of edges crosses its row on its left. A point on an edge is
    tried on both sides of it, so that a polygon shows the same pixels however it is turned.
    """
    start = np.asarray(polygon, dtype=np.float64)  # V x 2
    end = np.roll(start, -1, axis=0)
    inside = np.zeros((y.size, x.size), dtype=np.bool_)
    for row, at in enumerate(y):
        above, below = ((start[:, 1] < near) != (end[:, 1] < near) for near in _beside(at))
        for crossing in (above,) if np.array_equal(above, below) else (above, below):
            (x0, y0), (x1, y1) = start[crossing].T, end[crossing].T
            crossings = np.sort(x0 + (at - y0) * (x1 - x0) / (y1 - y0))
            for near in _beside(x):
                inside[row] |= np.searchsorted(crossings, near) % 2 == 1
    return inside


def _beside(coordinates: Points) -> tuple[Points, Points]:
    """Return coordinates just before and just after the given ones."""
    return coordinates - _ON_EDGE_PX, coordinates + _ON_EDGE_PX
