"""Grayscale transformation: stored samples -> one table with the displayed pixel of each.

    bit pattern      uint8 or uint16, 0 to 2**bits_allocated - 1
      --layout-->    stored value, float64, integral, negative if signed
      --modality LUT, or rescale-->        modality value, float64
      --VOI LUT, window, or range-->       displayed value, float64, 0 to 1   (`voi`)
      --MONOCHROME1: 1 - x; padding: 0-->  pixel, uint16, 0 black to 65535 white

A sample has at most 16 bits, so every step is computed for the possible samples only, in tables
that are indexed by the sample; `DisplayTable` holds the last of them. The order of the steps is
that of DICOM PS3.4 annex N.2: inversion comes after the VOI LUT.

Patterns are first turned into numbers in the order of their values, so that the mean of several
samples is a sample as well, and preprocessing can reduce an image before it looks it up.

Only Photometric Interpretation (0028,0004) decides about the inversion. Presentation LUT Shape
(2050,0020) repeats it (INVERSE goes with MONOCHROME1, PS3.3 section C.8.11.3), so applying both
would invert twice. `header.warnings` warns if the two contradict each other.
"""

from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from radiograph.image import DisplayTable, Samples
from radiograph.readers.display.voi import (
    BoolTable,
    FloatTable,
    UsedValues,
    displayed_values,
    read_lut,
)
from radiograph.readers.header.attributes import Attributes

_CHUNK_PX = 2**14
_COUNTED_PX = 2**16
"""Number of pixels, evenly distributed over the image, whose distribution is computed."""

_WHITE = 65535
_MAX_MODALITY_VALUE = 1e15
"""Larger values are taken for a broken rescale; below it float64 still tells integers apart."""

_TIE_MARGIN = 1e-6
"""Added before rounding, so that ties round up also where the inversion 1 - x lost a bit.

An image and its inverted copy under MONOCHROME1 then give exactly the same pixels.
"""


@dataclass(frozen=True)
class SampleLayout:
    """Position and meaning of the value in the bit pattern of a sample.

    Bits outside of the value, such as embedded overlays, are dropped.

    Attributes:
        bits_allocated: bits of the pattern, 8 or 16.
        bits: bits of the value, 1 to `bits_allocated`.
        shift: unused bits below the value; not zero in old left-aligned files only.
        signed: True for two's complement.
    """

    bits_allocated: int
    bits: int
    shift: int
    signed: bool

    @property
    def mask(self) -> int:
        """The bits of the value, shifted to the lowest bits."""
        return (1 << self.bits) - 1

    @property
    def sign(self) -> int:
        """The sign bit of a signed value, else 0."""
        return 1 << (self.bits - 1) if self.signed else 0

    def are_ordered(self, highest: int) -> bool:
        """Return whether patterns up to `highest` are ordered samples already."""
        return self.shift == 0 and not self.signed and highest <= self.mask

    def ordered(self, patterns: Samples) -> Samples:
        """Return samples in the order of their values: 0 for the lowest value that the bits hold.

        Args:
            patterns: any shape, bit patterns.

        Returns:
            An array of the same shape and type, 0 to 2**bits - 1.
        """
        kind = patterns.dtype.type
        return ((patterns >> kind(self.shift)) & kind(self.mask)) ^ kind(self.sign)

    def values(self, samples: NDArray[np.integer]) -> FloatTable:
        """Return the stored value of ordered samples, float64, integral."""
        return np.asarray(samples, dtype=np.float64) - self.sign


def render(
    stored: Samples, layout: SampleLayout, header: Attributes, *, inverted: bool
) -> tuple[Samples, DisplayTable, tuple[str, ...]]:
    """Order stored samples by their value, and compute how each is displayed.

    Args:
        stored: rows x columns bit patterns, uint8 or uint16.
        layout: the meaning of the patterns.
        header: the data set, with its LUTs, windows and padding.
        inverted: True if the lowest value is displayed white (MONOCHROME1).

    Returns:
        samples: rows x columns, uint8 or uint16, indices of the table.
        table: the displayed pixel of every sample.
        warnings: attributes that could not be applied, each as `code: message`.
    """
    warnings: list[str] = []
    span = _Span.of(stored)
    samples, values, padding = _samples(stored, span, layout, header)
    if samples is not stored:
        span = _Span.of(samples)
    # Every table below has one entry for each possible sample.
    modality = _modality_values(header, values, warnings)  # float64
    exact = bool(padding.any()) or "ModalityLUTSequence" in header
    occurring = _occurring(samples, span, values.size, exact=exact)  # bool
    if not (occurring & ~padding).any():
        padding = np.zeros_like(padding)
        warnings.append("padding_unusable: every pixel has the Pixel Padding Value")
    relevant = occurring & ~padding
    ends = float(modality[relevant].min()), float(modality[relevant].max())
    used = UsedValues.of(_counts(samples, relevant))
    displayed = displayed_values(header, modality, used, ends, warnings)  # float64, 0 to 1
    # Padding that does not occur needs no mask later.
    table = DisplayTable(_pixel_values(displayed, inverted=inverted), padding & occurring)
    return samples, table, tuple(warnings)


@dataclass(frozen=True)
class _Span:
    """The lowest and the highest sample of an image."""

    lowest: int
    highest: int

    @classmethod
    def of(cls, samples: Samples) -> "_Span":
        """Find both; this takes as long as reading all pixels from memory twice."""
        return cls(int(samples.min()), int(samples.max()))


def _samples(
    stored: Samples, span: _Span, layout: SampleLayout, header: Attributes
) -> tuple[Samples, FloatTable, BoolTable]:
    """Return ordered samples, and the stored value and the padding flag of every sample.

    Padding reaches from Pixel Padding Value (0028,0120) to Pixel Padding Range Limit (0028,0121).
    Some files pad with a word of more bits than Bits Stored; its pattern then becomes the lowest
    sample, and every other sample is one higher.

    Source: DICOM PS3.3 section C.7.5.1.1.2.
    """
    samples = stored if layout.are_ordered(span.highest) else layout.ordered(stored)
    values = layout.values(np.arange(layout.mask + 1))
    word, limit = header.word("PixelPaddingValue"), header.word("PixelPaddingRangeLimit")
    if word is None:
        return samples, values, np.zeros(values.size, dtype=np.bool_)
    ends = [float(end) for end in (word, word if limit is None else limit)]
    if layout.signed:  # the words are two's complement
        ends = [end - 2**16 if end >= 2**15 else end for end in ends]
    padding = np.asarray((values >= min(ends)) & (values <= max(ends)))
    if word < 2**layout.bits_allocated and layout.bits < layout.bits_allocated:
        pattern = np.full_like(stored[:1, :1], word)
        if not padding[layout.ordered(pattern)[0, 0]]:
            samples = np.where(stored == pattern, 0, samples + samples.dtype.type(1))
            return samples, np.append(values[0], values), np.append(True, padding)
    return samples, values, padding


def _modality_values(header: Attributes, values: FloatTable, warnings: list[str]) -> FloatTable:
    """Apply Modality LUT Sequence (0028,3000), or Rescale Slope and Intercept (0028,1053 and 1052).

    Source: DICOM PS3.3 section C.11.1.
    """
    if items := header.items("ModalityLUTSequence"):
        lut = read_lut(items[0], values)
        if lut is not None:
            return lut.data[lut.index]
        warnings.append("modality_lut_unusable: the Modality LUT Sequence was left out")
    slope, intercept = header.numbers("RescaleSlope")[:1], header.numbers("RescaleIntercept")[:1]
    if not slope or not intercept:
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        rescaled = values * slope[0] + intercept[0]
    # Written so that NaN, which compares False, is refused too.
    if slope[0] == 0 or not np.abs(rescaled).max() < _MAX_MODALITY_VALUE:
        warnings.append("rescale_unusable: Rescale Slope and Intercept were left out")
        return values
    return rescaled


def _occurring(samples: Samples, span: _Span, size: int, *, exact: bool) -> BoolTable:
    """Return which of `size` possible samples occur in the image.

    Unless `exact`, every sample between the lowest and the highest may be reported. For a range
    only its ends matter, and finding them is twenty times faster.
    """
    occurring = np.zeros(size, dtype=np.bool_)
    if not exact:
        occurring[span.lowest : span.highest + 1] = True
        return occurring
    flat = samples.reshape(-1)
    for start in range(0, flat.size, _CHUNK_PX):  # NumPy widens an index to 64 bits
        occurring[flat[start : start + _CHUNK_PX]] = True
    return occurring


def _counts(samples: Samples, relevant: BoolTable) -> NDArray[np.intp]:
    """Return how many pixels of an even selection have each relevant sample, at least one."""
    step = max(1, isqrt(samples.size // _COUNTED_PX))
    flat = samples[::step, ::step].reshape(-1)
    counts = np.where(relevant, np.bincount(flat, minlength=relevant.size), 0)
    # A selection may hold padding only; every relevant sample then counts once.
    return counts if counts.any() else relevant.astype(np.intp)


def _pixel_values(displayed: FloatTable, *, inverted: bool) -> NDArray[np.uint16]:
    """Convert displayed values, 0 to 1, to uint16."""
    brightness = 1.0 - displayed if inverted else displayed
    return np.floor(brightness * _WHITE + 0.5 + _TIE_MARGIN).astype(np.uint16)
