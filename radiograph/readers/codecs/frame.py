"""Values that the decoders exchange, and the checks that they share."""

from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from radiograph.errors import ColourImage, UndecodablePixels, UnsupportedEncoding
from radiograph.image import Samples

DATA_ZEROED = (
    "damaged_pixel_data: the pixel data hold a run of zeros that no encoder writes, as an "
    "incomplete transfer leaves it; a part of the picture is wrong"
)
MIN_ZEROED_BYTES = 32
"""Length of the shortest run of zeros that counts as damage, where sound data hold none."""


@dataclass(frozen=True)
class FrameHeader:
    """Size, components and precision that an encoded frame declares in its own header."""

    rows: int
    columns: int
    samples_per_pixel: int
    precision: int
    """Number of bits of one sample."""

    signed: bool = False
    """True if the codestream declares signed samples; only JPEG 2000 can."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the decoded samples: rows x columns, and components if there are several."""
        size = (self.rows, self.columns)
        return size if self.samples_per_pixel == 1 else (*size, self.samples_per_pixel)

    def check(self, rows: int, columns: int, samples_per_pixel: int = 1) -> None:
        """Compare the header of a codestream with the data set.

        Raises:
            ColourImage: the codestream has more components than the data set says.
            UndecodablePixels: the codestream has less, its size is another one, or its precision
                is unknown.
        """
        if self.samples_per_pixel > samples_per_pixel:
            raise ColourImage(f"{self.samples_per_pixel} components in the pixel data")
        if self.samples_per_pixel < samples_per_pixel:
            raise UndecodablePixels(
                f"the pixel data have {self.samples_per_pixel} components, "
                f"the header says {samples_per_pixel}"
            )
        if (self.rows, self.columns) != (rows, columns):
            raise UndecodablePixels(
                f"the pixel data are {self.rows} x {self.columns}, "
                f"the header says {rows} x {columns}"
            )
        if not 2 <= self.precision <= 16:
            raise UndecodablePixels(f"{self.precision} bits in a sample of the pixel data")


@dataclass(frozen=True, eq=False)
class DecodedFrame:
    """One decoded frame.

    Attributes:
        samples: rows x columns, uint8 or uint16 bit patterns of signed or unsigned values; of
            several components rows x columns x components.
        header: the header of the codestream, or None for RLE, which has none.
        warnings: faults of the codestream that leave a picture, each as `code: message`.
    """

    samples: Samples
    header: FrameHeader | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Codestream:
    """The bytes of one picture, freed of whatever stands before and behind it.

    Attributes:
        data: the codestream; it ends with its end marker, even where the file lacks it.
        excess: True if another picture follows.
    """

    data: bytes
    excess: bool


def bit_patterns(samples: NDArray[np.generic], shape: tuple[int, ...]) -> Samples:
    """View decoded samples as bit patterns if they have the expected shape.

    Raises:
        UndecodablePixels: the shape is another one, or a sample has more than 16 bits.
    """
    if samples.shape != shape:
        raise UndecodablePixels(f"the pixel data decoded to {samples.shape}, not {shape}")
    if samples.dtype.itemsize == 1:
        return samples.view(np.uint8)
    if samples.dtype.itemsize == 2:
        return samples.view(np.uint16)
    raise UndecodablePixels(f"the pixel data decoded to {samples.dtype}")


def imagecodecs() -> ModuleType:
    """Import imagecodecs.

    Raises:
        UnsupportedEncoding: it is not installed.
    """
    try:
        import imagecodecs as module
    except ImportError:
        raise UnsupportedEncoding("decoders of compressed pixel data are not installed") from None
    return module
