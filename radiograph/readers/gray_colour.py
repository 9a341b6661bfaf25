"""Grayscale radiographs that are stored in colour: the gray values of RGB and YBR samples.

    RGB           gray where red, green and blue are equal
    YBR_FULL      gray where both chroma samples are half of the range; the luminance is the gray
    YBR_FULL_422  the same, with one pair of chroma samples for two pixels

A PNG file of the same picture is read too. One pixel in colour makes the image a colour image.
Decoders convert some compressed images to RGB, whatever the header says, and leave others in YBR:
decoded samples are gray if they are so in either.

Source: DICOM PS3.3 sections C.7.6.3.1.2 (Photometric Interpretation) and C.7.6.3.1.3 (Planar
Configuration).
"""

from dataclasses import dataclass

import numpy as np

from radiograph.errors import ColourImage, UndecodablePixels
from radiograph.image import Samples

COLOUR_SPACES = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})
"""Photometric Interpretations whose samples may be gray."""

_SUBSAMPLED = "YBR_FULL_422"


@dataclass(frozen=True)
class ColourLayout:
    """Arrangement of colour samples.

    Attributes:
        photometric_interpretation: one of `COLOUR_SPACES`.
        planar: True if each channel is stored as a whole plane.
        bits: bits of one sample that carry its value.
    """

    photometric_interpretation: str
    planar: bool
    bits: int

    @property
    def samples_for_pixel(self) -> int:
        """Number of stored samples for each pixel."""
        return 2 if self.photometric_interpretation == _SUBSAMPLED else 3

    def gray_of_decoded(self, samples: Samples) -> Samples:
        """Return the gray values of a decoded image whose colours are all gray.

        Args:
            samples: rows x columns x 3, RGB or YBR.

        Raises:
            ColourImage: a pixel is not gray.
        """
        channels = np.moveaxis(samples, -1, 0)
        if not all(np.array_equal(channels[0], other) for other in channels[1:]):
            self._check_chroma(channels[1:])
        gray: Samples = np.ascontiguousarray(channels[0])
        return gray

    def gray(self, samples: Samples, rows: int, columns: int) -> Samples:
        """Return the gray values of an image whose colours are all gray.

        Args:
            samples: rows x columns x `samples_for_pixel` samples in the order of storage.
            rows, columns: size of the image.

        Returns:
            rows x columns, of the type of the samples.

        Raises:
            ColourImage: a pixel is not gray.
            UndecodablePixels: subsampled rows have an odd number of pixels.
        """
        if self.photometric_interpretation == _SUBSAMPLED:
            if columns % 2:
                raise UndecodablePixels(f"{columns} columns do not make pairs of pixels")
            pairs = samples.reshape(rows, columns // 2, 4)  # Y of two pixels, CB, CR
            self._check_chroma(pairs[..., 2:])
            luminance: Samples = pairs[..., :2].reshape(rows, columns)
            return luminance
        shape = (3, rows, columns) if self.planar else (rows, columns, 3)
        channels = np.moveaxis(samples.reshape(shape), 0 if self.planar else -1, 0)
        if self.photometric_interpretation != "RGB":
            self._check_chroma(channels[1:])
        elif not all(np.array_equal(channels[0], other) for other in channels[1:]):
            raise ColourImage("the image is in colour")
        gray: Samples = np.ascontiguousarray(channels[0])
        return gray

    def _check_chroma(self, chroma: Samples) -> None:
        if (chroma != 2 ** (self.bits - 1)).any():
            raise ColourImage("the image is in colour")
