"""Grayscale transformation: stored samples -> displayed pixels, by one lookup table.

    bit pattern      uint8 or uint16, 0 to 2**bits_allocated - 1
      --layout-->    stored value, float64, integral, negative if signed
      --modality LUT, or rescale-->        modality value, float64
      --VOI LUT, window, or full range-->  displayed value, float64, 0 to 1
      --MONOCHROME1: 1 - x; padding: 0-->  pixel, uint16, 0 black to 65535 white

A sample has at most 16 bits, so every step is computed for the 256 or 65,536 possible bit
patterns, in tables that are indexed by the pattern, and the image is looked up once. The order
of the steps is that of DICOM PS3.4 annex N.2: inversion comes after the VOI LUT.

Only Photometric Interpretation (0028,0004) decides about the inversion. Presentation LUT Shape
(2050,0020) repeats it (INVERSE goes with MONOCHROME1, PS3.3 section C.8.11.3), so applying both
would invert twice. `header_warnings` warns if the two contradict each other.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radiograph.readers.codecs import Samples
from radiograph.readers.header.attributes import Attributes

FloatTable = NDArray[np.float64]
BoolTable = NDArray[np.bool_]

_CHUNK_PX = 2**16
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

    def values(self) -> FloatTable:
        """Return the stored value of every bit pattern.

        Bits outside of the value, such as embedded overlays, are dropped.

        Returns:
            2**bits_allocated, float64, integral.
        """
        pattern = np.arange(2**self.bits_allocated, dtype=np.int64)
        value = (pattern >> self.shift) & (2**self.bits - 1)
        if self.signed:
            value = np.where(value >= 2 ** (self.bits - 1), value - 2**self.bits, value)
        return np.asarray(value, dtype=np.float64)


def render(
    stored: Samples, layout: SampleLayout, header: Attributes, *, inverted: bool
) -> tuple[NDArray[np.uint16], tuple[str, ...]]:
    """Transform stored samples into displayed pixels.

    Args:
        stored: rows x columns bit patterns, uint8 or uint16.
        layout: the meaning of the patterns.
        header: the data set, with its LUTs, windows and padding.
        inverted: True if the lowest value is displayed white (MONOCHROME1).

    Returns:
        pixels: rows x columns, uint16, 0 black and 65535 white.
        warnings: attributes that could not be applied, each as `code: message`.
    """
    warnings: list[str] = []
    # Every table below has one entry for each of the 2**bits_allocated patterns.
    values = layout.values()  # float64
    modality = _modality_values(header, values, warnings)  # float64
    padding = _padding(header, values)  # bool
    exact = bool(padding.any()) or "ModalityLUTSequence" in header
    occurring = _occurring(stored, layout, exact=exact)  # bool
    if not (occurring & ~padding).any():
        padding = np.zeros_like(padding)
        warnings.append("padding_unusable: every pixel has the Pixel Padding Value")
    relevant = occurring & ~padding
    displayed = _voi_values(header, modality, warnings)  # float64, 0 to 1, or None
    if displayed is not None and _is_flat(displayed[relevant]) and not _is_flat(modality[relevant]):
        warnings.append("voi_unusable: the VOI LUT or window shows every pixel alike")
        displayed = None
    if displayed is None:
        displayed = _full_range(modality, relevant)
    table = _pixel_values(displayed, padding, inverted=inverted)  # uint16
    return _look_up(stored, table), tuple(warnings)


def _modality_values(header: Attributes, values: FloatTable, warnings: list[str]) -> FloatTable:
    """Apply Modality LUT Sequence (0028,3000), or Rescale Slope and Intercept (0028,1053 and 1052).

    Source: DICOM PS3.3 section C.11.1.
    """
    if items := header.items("ModalityLUTSequence"):
        lut = _lut(items[0], values)
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


def _voi_values(header: Attributes, modality: FloatTable, warnings: list[str]) -> FloatTable | None:
    """Apply VOI LUT Sequence (0028,3010), or else the first window.

    Source: DICOM PS3.3 section C.11.2.

    Returns:
        Displayed values, 0 to 1, or None if the header has neither or what it has is unusable.
    """
    if items := header.items("VOILUTSequence"):
        lut = _lut(items[0], modality)
        if lut is not None:
            return lut.data[lut.index] / lut.white
        warnings.append("voi_lut_unusable: the VOI LUT Sequence was left out")
    centre, width = header.numbers("WindowCenter")[:1], header.numbers("WindowWidth")[:1]
    if not centre and not width:
        return None
    function = header.text("VOILUTFunction") or "LINEAR"
    # The width is at least 1 for LINEAR and above 0 for the other functions.
    min_width = 1.0 if function == "LINEAR" else np.nextafter(0.0, 1.0)
    if not centre or not width or not (np.isfinite(centre[0]) and width[0] >= min_width):
        warnings.append("window_unusable: Window Center or Width is no valid number")
        return None
    if function not in _WINDOWS:
        warnings.append("voi_function_unknown: the VOI LUT Function was taken as LINEAR")
    with np.errstate(over="ignore"):
        window = _WINDOWS.get(function, _linear)(modality, centre[0], width[0])
    return np.asarray(np.clip(window, 0.0, 1.0))


def _linear(x: FloatTable, centre: float, width: float) -> FloatTable:
    """Apply a LINEAR window (PS3.3 section C.11.2.1.2.1); a width of 1 is a step."""
    if width <= 1:
        return (x > centre - 0.5).astype(np.float64)
    return (x - (centre - 0.5)) / (width - 1) + 0.5


def _linear_exact(x: FloatTable, centre: float, width: float) -> FloatTable:
    """Apply a LINEAR_EXACT window (PS3.3 section C.11.2.1.3.2)."""
    return (x - centre) / width + 0.5


def _sigmoid(x: FloatTable, centre: float, width: float) -> FloatTable:
    """Apply a SIGMOID window (PS3.3 section C.11.2.1.3.1)."""
    return np.asarray(1 / (1 + np.exp(-4 * (x - centre) / width)))


_WINDOWS = {"LINEAR": _linear, "LINEAR_EXACT": _linear_exact, "SIGMOID": _sigmoid}


@dataclass(frozen=True)
class _Lut:
    """A lookup table of the header, resolved for a table of inputs.

    Attributes:
        data: the output of each entry, float64.
        index: the entry of each input, 0 to len(data) - 1.
        white: the output that is displayed white.
    """

    data: FloatTable
    index: NDArray[np.intp]
    white: float


def _lut(item: Attributes, inputs: FloatTable) -> _Lut | None:
    """Read LUT Descriptor (0028,3002) and LUT Data (0028,3006); None if they are unusable.

    The first mapped value is taken for signed if an input is, because the VR in real files is
    often wrong.

    Source: DICOM PS3.3 sections C.11.1.1.1 and C.11.2.1.1.
    """
    descriptor = item.words("LUTDescriptor")
    if descriptor.size != 3 or not 8 <= descriptor[2] <= 16:
        return None
    # Number of entries (0 stands for 65,536), first value mapped, bits of each entry.
    entries, first, bits = int(descriptor[0]) or 2**16, int(descriptor[1]), int(descriptor[2])
    if inputs.min() < 0 and first >= 2**15:
        first -= 2**16
    data = item.words("LUTData")
    if len(item.raw("LUTData")) == entries and bits == 8:  # one byte for each entry
        data = np.frombuffer(item.raw("LUTData"), np.uint8).astype(np.uint16)
    if data.size < entries:
        return None
    table = data[:entries].astype(np.float64)
    # Inputs below the first mapped value give the first entry, those above the last the last.
    index = np.clip(np.rint(inputs - first), 0, entries - 1).astype(np.intp)
    # Entries of real files may exceed the bits that the descriptor declares.
    return _Lut(table, index, max(2.0**bits - 1, float(table.max())))


def _padding(header: Attributes, values: FloatTable) -> BoolTable:
    """Return which patterns are padding, as a bool table.

    Padding reaches from Pixel Padding Value (0028,0120) to Pixel Padding Range Limit (0028,0121).
    Some files pad with a word of more bits than Bits Stored, so the whole pattern is compared
    with it as well.

    Source: DICOM PS3.3 section C.7.5.1.1.2.
    """
    word, limit = header.word("PixelPaddingValue"), header.word("PixelPaddingRangeLimit")
    if word is None:
        return np.zeros(values.size, dtype=np.bool_)
    ends = [float(end) for end in (word, word if limit is None else limit)]
    if values.min() < 0:  # signed samples: the words are two's complement
        ends = [end - 2**16 if end >= 2**15 else end for end in ends]
    within = (values >= min(ends)) & (values <= max(ends))
    return np.asarray(within | (np.arange(values.size) == word))


def _occurring(stored: Samples, layout: SampleLayout, *, exact: bool) -> BoolTable:
    """Return which patterns occur in the image, as a bool table.

    Unless `exact`, every pattern between the lowest and the highest may be reported. For a range
    only its ends matter, and finding them is twenty times faster.
    """
    occurring = np.zeros(2**layout.bits_allocated, dtype=np.bool_)
    low, high = int(stored.min()), int(stored.max())
    if not exact and not layout.signed and layout.shift == 0 and high < 2**layout.bits:
        occurring[low : high + 1] = True
        return occurring
    flat = stored.reshape(-1)
    for start in range(0, flat.size, _CHUNK_PX):  # NumPy widens an index to 64 bits
        occurring[flat[start : start + _CHUNK_PX]] = True
    return occurring


def _is_flat(values: FloatTable) -> bool:
    """Return whether all values are equal."""
    return bool(values.min() == values.max())


def _full_range(modality: FloatTable, relevant: BoolTable) -> FloatTable:
    """Map the lowest relevant value to 0 and the highest to 1."""
    low, high = float(modality[relevant].min()), float(modality[relevant].max())
    return np.asarray(np.clip((modality - low) / (high - low or 1.0), 0.0, 1.0))


def _pixel_values(
    displayed: FloatTable, padding: BoolTable, *, inverted: bool
) -> NDArray[np.uint16]:
    """Convert displayed values, 0 to 1, to uint16; padding is black also if inverted."""
    brightness = 1.0 - displayed if inverted else displayed
    table = np.floor(brightness * _WHITE + 0.5 + _TIE_MARGIN).astype(np.uint16)
    table[padding] = 0
    return table


def _look_up(stored: Samples, table: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the table's entry for every sample, rows x columns."""
    pixels = np.empty(stored.shape, dtype=np.uint16)
    source, target = stored.reshape(-1), pixels.reshape(-1)
    for start in range(0, source.size, _CHUNK_PX):  # NumPy widens an index to 64 bits
        chunk = slice(start, start + _CHUNK_PX)
        # No index can be out of range; `wrap` avoids the check.
        np.take(table, source[chunk], out=target[chunk], mode="wrap")
    return pixels
