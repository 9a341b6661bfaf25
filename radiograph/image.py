"""Radiograph: one decoded chest radiograph, ready for preprocessing.

    samples, uint8 or uint16 --table--> displayed pixels, uint16

The readers of all file formats return it, so the code after them does not depend on the format.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from radiograph.errors import UnusableImage
from radiograph.geometry.orientation import UPRIGHT, Orientation
from radiograph.geometry.shutter import Shutter
from radiograph.study import StudyIdentity

Samples = NDArray[np.uint8] | NDArray[np.uint16]

Entry = TypeVar("Entry", bound=np.generic)

_CHUNK_PX = 2**16
"""Pixels that are looked up at once; their indices, of 64 bits each, then stay in the cache."""

Laterality = Literal["asserted", "assumed", "unknown"]
"""Evidence for the sides of a radiograph: the header, the display convention, or none."""


@dataclass(frozen=True, eq=False)
class DisplayTable:
    """Displayed pixel of every possible sample.

    Attributes:
        brightness: N, uint16; 0 is displayed black and 65535 white.
        padding: N, bool; samples that are no part of the image and are displayed black.
    """

    brightness: NDArray[np.uint16]
    padding: NDArray[np.bool_]

    @property
    def pixels(self) -> NDArray[np.uint16]:
        """Displayed pixel of every sample, N, uint16, with black padding."""
        return np.where(self.padding, np.uint16(0), self.brightness)

    @classmethod
    def linear(cls, entries: int) -> "DisplayTable":
        """Return the table that maps 0 to black and `entries` - 1 to white, without padding."""
        steps = np.arange(entries, dtype=np.uint32) * 65535 // (entries - 1)
        return cls(steps.astype(np.uint16), np.zeros(entries, dtype=np.bool_))


IDENTITY = DisplayTable.linear(2**16)
"""Table of samples that are displayed pixels themselves."""


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One grayscale projection radiograph, with the look-up table of its display.

    The table is kept beside the samples, because looking up every pixel of a large image takes
    longer than reducing the image first.

    Attributes:
        samples: rows x columns, uint8 or uint16, numbers in the order of the stored values.
        table: the displayed pixel of every sample, after the modality LUT, the VOI LUT or window
            and, for MONOCHROME1, the inversion.
        spacing_mm: distance of pixel centres, (between rows, between columns), or None.
        aspect_ratio: height and width of a pixel in any unit, where no spacing tells them, or None.
        photometric_interpretation: as stored, `MONOCHROME1` or `MONOCHROME2`.
        view_position: View Position (0018,5101), such as `PA`, `AP`, `LL`, or None.
        sop_instance_uid: SOP Instance UID (0008,0018), or None for PNG and JPEG.
        orientation: the steps that turn the pixels upright, the patient's left on the right.
        laterality: evidence that the upright image shows the patient's left on the right:
            `asserted` by the header, `assumed` as radiographs are usually displayed, or `unknown`
            because the header contradicts itself or the projection is lateral.
        shutter: the part of the pixels that the header declares to be visible, or None for all.
        study: study and patient of a DICOM file, or None for PNG and JPEG.
        warnings: reasons for caution with the results, each as `code: message`.
    """

    samples: Samples
    table: DisplayTable = IDENTITY
    spacing_mm: tuple[float, float] | None = None
    aspect_ratio: tuple[float, float] | None = None
    photometric_interpretation: str = "MONOCHROME2"
    view_position: str | None = None
    sop_instance_uid: str | None = None
    orientation: Orientation = UPRIGHT
    laterality: Laterality = "assumed"
    shutter: Shutter | None = None
    study: StudyIdentity | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an array that later steps could not handle.

        Raises:
            UnusableImage: the array is not two-dimensional or has no pixel.
            TypeError: the array is neither uint8 nor uint16, or its table is that of other samples.
        """
        if self.samples.ndim != 2 or 0 in self.samples.shape:
            raise UnusableImage(f"expected rows x columns, got shape {self.samples.shape}")
        if self.samples.dtype not in (np.uint8, np.uint16):
            raise TypeError(f"expected uint8 or uint16 samples, got {self.samples.dtype}")
        if self.samples.dtype == np.uint8 and self.table is IDENTITY:
            raise TypeError("uint8 samples need a table")

    @property
    def pixel_sides(self) -> tuple[float, float] | None:
        """Height and width of a pixel in any unit, or None if they are unknown."""
        return self.spacing_mm or self.aspect_ratio

    @cached_property
    def pixels(self) -> NDArray[np.uint16]:
        """Displayed pixels, rows x columns, uint16; 0 is black and 65535 white."""
        if self.table is IDENTITY and self.samples.dtype == np.uint16:
            return self.samples.astype(np.uint16, copy=False)
        return self.look_up(self.table.pixels)

    def look_up(self, table: NDArray[Entry]) -> NDArray[Entry]:
        """Return the entry of a table for every sample, rows x columns, of the table's type.

        Args:
            table: N, one entry for each possible sample.
        """
        found = np.empty(self.samples.shape, dtype=table.dtype)
        source, target = self.samples.reshape(-1), found.reshape(-1)
        for start in range(0, source.size, _CHUNK_PX):  # NumPy widens an index to 64 bits
            chunk = slice(start, start + _CHUNK_PX)
            # No index can be out of range; `wrap` avoids the check.
            np.take(table, source[chunk], out=target[chunk], mode="wrap")
        return found

    @property
    def rows(self) -> int:
        """Height in source pixels."""
        return int(self.samples.shape[0])

    @property
    def columns(self) -> int:
        """Width in source pixels."""
        return int(self.samples.shape[1])
