"""Render a row: its image on the model's grid, with masks and boxes, or why it is left out.

    row --reader--> bytes --radiograph--> grid in [0, 1] --x 255--> uint8
                    masks, boxes -------------------------------> planes, boxes on the grid

Nothing here imports torch, so that a process that renders starts in half a second.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radiograph.errors import InputError
from radiograph.geometry.geometry import Box, Geometry
from radiograph.limits import as_malformed_input
from radiograph.preprocess import PreprocessSpec, to_grid
from radiograph.readers.read import read as read_radiograph
from training.data.annotations.masks import mask_planes
from training.data.annotations.shapes import check_box
from training.data.cache.sample_index import Sample
from training.data.rows.dataset_files import AnnotationRefused, PathRefused
from training.data.rows.reader import Reader, Row


@dataclass(frozen=True)
class LeftOut:
    """A row that is not in the cache.

    Attributes:
        reason: short reason, the same for all rows of a kind.
        detail: detail of this row; never a value from the header of an image.
        of_file: True if the file is at fault, so that a later build may succeed.
    """

    table: str
    image: str
    reason: str
    detail: str = ""
    of_file: bool = False


@dataclass(frozen=True)
class Rendered:
    """A row on the grid: size x size uint8 pixels, and P x size x size planes if it has masks."""

    sample: Sample
    pixels: NDArray[np.uint8]
    planes: NDArray[np.uint8] | None


def render(
    reader: Reader, row: Row, spec: PreprocessSpec, structures: Sequence[str]
) -> Rendered | LeftOut:
    """Return a row on the grid, or the reason why it is left out.

    Args:
        reader: reader of the data set.
        row: row of the data set.
        spec: preprocessing.
        structures: structures of the planes (see `mask_planes`).
    """
    try:
        data = reader.read(row.image)
        with as_malformed_input("the image cannot be used"):
            radiograph = read_radiograph(data)
            grid, geometry = to_grid(radiograph, spec)
        if not row.view and any(w.startswith("lateral_view") for w in radiograph.warnings):
            return LeftOut(row.table, row.image, "lateral view", "the DICOM header says so")
        planes, known = mask_planes(reader, row, geometry, structures)
        boxes = tuple(_boxes(row, geometry))
    except InputError as error:
        reason = f"unreadable ({type(error).__name__})"
        return LeftOut(row.table, row.image, reason, str(error), of_file=True)
    except OSError as error:
        return LeftOut(row.table, row.image, *_reason_and_detail(error), of_file=True)
    sample = Sample(row, frozenset(known), boxes)
    # Rounded to the nearest of 256 levels; astype alone would truncate.
    return Rendered(sample, (grid * 255 + 0.5).astype(np.uint8), planes if planes.any() else None)


def _boxes(row: Row, geometry: Geometry) -> Iterator[tuple[str, Box]]:
    """Yield the names and boxes on the grid, without what a crop removes.

    Raises:
        AnnotationRefused: a box lies outside the image, or is given as fractions of its sides.
    """
    for name, box in row.boxes:
        check_box(box, geometry.rows, geometry.columns)
        x0, y0, x1, y1 = geometry.box_to_grid(box)
        if geometry.field is not None:
            right, bottom = geometry.left + geometry.width, geometry.top + geometry.height
            x0, y0 = max(x0, geometry.left), max(y0, geometry.top)
            x1, y1 = min(x1, right), min(y1, bottom)
            if x0 >= x1 or y0 >= y1:
                continue
        yield name, (x0, y0, x1, y1)


def _reason_and_detail(error: OSError) -> tuple[str, str]:
    if isinstance(error, FileNotFoundError):
        return "missing file", ""
    if isinstance(error, PathRefused | AnnotationRefused):
        return str(error), ""
    return f"unreadable ({type(error).__name__})", error.strerror or ""
