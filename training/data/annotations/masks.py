"""Masks of structures on the model's grid.

masks of a row --placed like the image, joined by structure--> `mask_planes`
one mask of both lungs --connected components--> left and right lung
"""

import io
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from radiograph.geometry.geometry import Geometry
from radiograph.limits import DEFAULT_LIMITS, as_malformed_input
from training.data.annotations.mask_planes import pack
from training.data.rows.dataset_files import AnnotationRefused
from training.data.rows.reader import Reader, Row

LUNGS = ("Left lung", "Right lung")
_INSIDE, _OUTSIDE = 191, 63
"""Values above the first are inside, those up to the second outside; between them is the value of
pixels that are not annotated, 127."""
_NOT_ANNOTATED = (112, 143)
"""Values that stand for 127 in a mask without any pixel inside."""
_ASPECT = 0.03
"""Largest relative difference between the aspect ratios of a mask and of its image."""


def structures_of(rows: Iterable[Row]) -> tuple[str, ...]:
    """Return the names of the masks of some rows, in the order in which they occur."""
    names: dict[str, None] = {}
    for row in rows:
        names |= dict.fromkeys(LUNGS) if row.lung_mask else {}
        names |= dict.fromkeys(row.masks)
    return tuple(names)


def mask_planes(
    reader: Reader, row: Row, geometry: Geometry, structures: Sequence[str]
) -> tuple[NDArray[np.uint8], set[str]]:
    """Return the planes of a row, P x size x size, and the structures that are annotated.

    A mask is stored as its image is, and is turned upright with it. An annotated structure may be
    absent: its bit is then 0 everywhere.

    Args:
        reader: reader of the data set.
        row: row of the data set.
        geometry: relation of the image to the grid.
        structures: structures that have a bit, `structures_of` this row and others.
    """

    def upright(path: str) -> NDArray[np.uint8]:
        mask = read_mask(reader.read(path))
        check_aspect(mask, geometry.rows, geometry.columns)
        return geometry.orientation.turn(mask)

    found = {name: [upright(path) for path in paths] for name, paths in row.masks.items()}
    if row.lung_mask and not set(LUNGS) <= set(found):
        sides = split_lungs(upright(row.lung_mask)) or {}
        found |= {name: [mask] for name, mask in sides.items()}
    ignored = np.zeros((geometry.size, geometry.size), dtype=bool)
    inside: dict[str, NDArray[np.bool_]] = {}
    for name, masks in found.items():
        inside[name] = np.zeros_like(ignored)
        for mask in masks:
            # Masks are 255 inside, 0 outside and 127 where nothing is annotated.
            inside[name] |= _place(mask > _INSIDE, geometry) > 0.5
            ignored |= _place((mask > _OUTSIDE) & (mask <= _INSIDE), geometry) > 0.5
    return pack(inside, ignored, structures), {*found, *row.complete_masks}


def read_mask(data: bytes) -> NDArray[np.uint8]:
    """Decode a PNG mask to rows x columns, uint8: 255 inside, 0 outside, 127 not annotated.

    Raises:
        AnnotationRefused: it marks pixels by other values, such as 1 or the number of a class, and
            would otherwise be read as empty.
        MalformedInput: it is no image.
    """
    with as_malformed_input("the mask cannot be decoded"), Image.open(io.BytesIO(data)) as image:
        DEFAULT_LIMITS.check_pixels(image.height, image.width)
        mask = np.asarray(image.convert("L"))
    low, high = _NOT_ANNOTATED
    if 0 < mask.max(initial=0) <= _INSIDE and not np.isin(mask, [0, *range(low, high + 1)]).all():
        raise AnnotationRefused("a mask has other values than 255 inside, 0 outside, 127 unknown")
    return mask


def check_aspect(mask: NDArray[np.uint8], rows: int, columns: int) -> None:
    """Check that a mask has the form of its image; it may have another resolution.

    Args:
        mask: rows x columns, as it is stored.
        rows, columns: size of the image as it is stored.

    Raises:
        AnnotationRefused: it has not.
    """
    if abs(mask.shape[1] * rows / (mask.shape[0] * columns) - 1) > _ASPECT:
        raise AnnotationRefused("a mask has another aspect ratio than its image")


def split_lungs(mask: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]] | None:
    """Split one mask of both lungs into one mask for each lung.

    The patient's right lung lies on the left of the image. Each connected component is assigned
    to a side by its centroid, relative to the midpoint between the two largest components.

    Returns:
        `Left lung` and `Right lung`, rows x columns uint8, or None if the lungs cannot be told
        apart: fewer than two components of similar size, or two that lie one above the other.
    """
    labelled, count = ndimage.label(mask > _INSIDE)
    if count < 2:
        return None
    index = np.arange(1, count + 1)
    area = ndimage.sum_labels(np.ones_like(labelled), labelled, index)
    order = np.argsort(area)[::-1]  # largest component first
    if area[order[1]] < 0.15 * area[order[0]]:
        return None
    centres = np.array(ndimage.center_of_mass(mask > _INSIDE, labelled, index))[:, 1]  # columns
    first, second = sorted(centres[order[:2]])
    if second - first < 0.15 * mask.shape[1]:
        return None
    is_left = centres > (first + second) / 2
    # Component 0 is the background, which belongs to neither side.
    of_left = np.concatenate([[False], is_left])[labelled]
    inside = labelled > 0
    return {
        "Left lung": np.where(inside & of_left, 255, 0).astype(np.uint8),
        "Right lung": np.where(inside & ~of_left, 255, 0).astype(np.uint8),
    }


def _place(mask: NDArray[np.bool_], geometry: Geometry) -> NDArray[np.float32]:
    """Return the coverage of each grid cell by a mask, size x size, 0 to 1.

    The mask is resized and placed like its image. It may have another resolution than the image,
    as long as it covers the same field of view.
    """
    image = Image.fromarray(np.ascontiguousarray(mask, dtype=np.float32))
    # The part of the image that the grid shows, in pixels of the mask.
    whole, part = geometry.upright, geometry.part
    box = (
        part.left * mask.shape[1] / whole.columns,
        part.top * mask.shape[0] / whole.rows,
        (part.left + part.columns) * mask.shape[1] / whole.columns,
        (part.top + part.rows) * mask.shape[0] / whole.rows,
    )
    small = image.resize((geometry.width, geometry.height), Image.Resampling.BILINEAR, box=box)
    grid = np.zeros((geometry.size, geometry.size), dtype=np.float32)
    rows = slice(geometry.top, geometry.top + geometry.height)
    columns = slice(geometry.left, geometry.left + geometry.width)
    grid[rows, columns] = np.asarray(small)
    return grid
