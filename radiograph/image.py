"""Radiograph: one decoded chest radiograph, ready for preprocessing.

The readers of all file formats return it, so the code after them does not depend on the format.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from radiograph.errors import UnusableImage
from radiograph.orientation import UPRIGHT, Orientation

Laterality = Literal["asserted", "assumed", "unknown"]
"""Evidence for the sides of a radiograph: the header, the display convention, or none."""


@dataclass(frozen=True)
class Radiograph:
    """One grayscale projection radiograph, as a display would show it.

    Attributes:
        pixels: rows x columns, uint16. 0 is displayed black and 65535 white, after the
            modality LUT, the VOI LUT or window and, for MONOCHROME1, the inversion.
        spacing_mm: distance of pixel centres, (between rows, between columns), or None.
        photometric_interpretation: as stored, `MONOCHROME1` or `MONOCHROME2`.
        view_position: View Position (0018,5101), such as `PA`, `AP`, `LL`, or None.
        sop_instance_uid: SOP Instance UID (0008,0018), or None for PNG and JPEG.
        orientation: the steps that turn `pixels` upright, the patient's left on the right.
        laterality: evidence that the upright image shows the patient's left on the right:
            `asserted` by the header, `assumed` as radiographs are usually displayed, or `unknown`
            because the header contradicts itself or the projection is lateral.
        warnings: reasons for caution with the results, each as `code: message`.
    """

    pixels: NDArray[np.uint16]
    spacing_mm: tuple[float, float] | None = None
    photometric_interpretation: str = "MONOCHROME2"
    view_position: str | None = None
    sop_instance_uid: str | None = None
    orientation: Orientation = UPRIGHT
    laterality: Laterality = "assumed"
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an array that later steps could not handle.

        Raises:
            UnusableImage: the array is not two-dimensional or has no pixel.
            TypeError: the array is not uint16.
        """
        if self.pixels.ndim != 2 or 0 in self.pixels.shape:
            raise UnusableImage(f"expected rows x columns, got shape {self.pixels.shape}")
        if self.pixels.dtype != np.uint16:
            raise TypeError(f"expected uint16 pixels, got {self.pixels.dtype}")

    @property
    def rows(self) -> int:
        """Height in source pixels."""
        return int(self.pixels.shape[0])

    @property
    def columns(self) -> int:
        """Width in source pixels."""
        return int(self.pixels.shape[1])
