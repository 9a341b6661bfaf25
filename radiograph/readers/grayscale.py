"""Grayscale: stored samples -> what a display would show, by one lookup table.

    stored bit pattern --layout--> stored value --modality LUT--> --VOI LUT or window--> 0..1
                                                    (or min..max without any)
    --MONOCHROME1: 1 - x--> --padding: black--> uint16

A sample has at most 16 bits, so every step is computed for the 65,536 possible patterns and
the image is looked up once. The order is that of PS3.4 annex N.2: inversion comes after the
VOI LUT, never before.

Only Photometric Interpretation (0028,0004) decides on the inversion. Presentation LUT Shape
(2050,0020) repeats it (INVERSE goes with MONOCHROME1, PS3.3 section C.8.11.3), so obeying both
would invert twice; where they contradict each other a caution is given.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radiograph.readers.attributes import Attributes
from radiograph.readers.codecs import Samples

FloatTable = NDArray[np.float64]
BoolTable = NDArray[np.bool_]

_CHUNK_PX = 2**16
_WHITE = 65535
_LARGEST_VALUE = 1e15
_TIE = 1e-6
"""Ties round up in both directions, so that an inverted copy gives the very same pixels."""


@dataclass(frozen=True)
class SampleLayout:
    """Where the value of a sample lies in its bit pattern, and what it means.

    Attributes:
        bits_allocated: 8 or 16.
        bits: bits of the value, 1 to `bits_allocated`.
        shift: bits below the value; not zero in old left-aligned files only.
        signed: two's complement.
    """

    bits_allocated: int
    bits: int
    shift: int
    signed: bool

    def values(self) -> FloatTable:
        """The stored value of every bit pattern; unused bits, such as overlays, are dropped."""
        pattern = np.arange(2**self.bits_allocated, dtype=np.int64)
        value = (pattern >> self.shift) & (2**self.bits - 1)
        if self.signed:
            value = np.where(value >= 2 ** (self.bits - 1), value - 2**self.bits, value)
        return np.asarray(value, dtype=np.float64)


def render(
    stored: Samples, layout: SampleLayout, header: Attributes, *, inverted: bool
) -> tuple[NDArray[np.uint16], tuple[str, ...]]:
    """Show stored samples.

    Args:
        stored: rows x columns bit patterns, uint8 or uint16.
        layout: what the patterns mean.
        header: the data set, for its LUTs, windows and padding.
        inverted: the lowest value is shown white (MONOCHROME1).

    Returns:
        pixels: rows x columns, uint16, 0 black and 65535 white.
        cautions: what could not be applied, as `code: message`.
    """
    cautions: list[str] = []
    values = layout.values()
    modality = _modality(header, values, cautions)
    padding = _padding(header, values)
    exact = bool(padding.any()) or "ModalityLUTSequence" in header
    occurring = _occurring(stored, layout, exact=exact)
    if not (occurring & ~padding).any():
        padding = np.zeros_like(padding)
        cautions.append("padding_unusable: every pixel has the Pixel Padding Value")
    kept = occurring & ~padding
    shown = _voi(header, modality, cautions)
    if shown is not None and _flat(shown[kept]) and not _flat(modality[kept]):
        cautions.append("voi_unusable: the VOI LUT or window shows every pixel alike")
        shown = None
    if shown is None:
        shown = _full_range(modality, kept)
    return _look_up(stored, _display(shown, padding, inverted=inverted)), tuple(cautions)


def _modality(header: Attributes, values: FloatTable, cautions: list[str]) -> FloatTable:
    """Modality LUT Sequence (0028,3000), or Rescale Slope and Intercept (PS3.3 section C.11.1)."""
    if items := header.items("ModalityLUTSequence"):
        lut = _lut(items[0], values)
        if lut is not None:
            return lut.data[lut.index]
        cautions.append("modality_lut_unusable: the Modality LUT Sequence was left out")
    slope, intercept = header.numbers("RescaleSlope")[:1], header.numbers("RescaleIntercept")[:1]
    if not slope or not intercept:
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        rescaled = values * slope[0] + intercept[0]
    if slope[0] == 0 or not np.abs(rescaled).max() < _LARGEST_VALUE:  # also when it is NaN
        cautions.append("rescale_unusable: Rescale Slope and Intercept were left out")
        return values
    return rescaled


def _voi(header: Attributes, modality: FloatTable, cautions: list[str]) -> FloatTable | None:
    """VOI LUT Sequence (0028,3010), else the first window, as 0..1; None without either."""
    if items := header.items("VOILUTSequence"):
        lut = _lut(items[0], modality)
        if lut is not None:
            return lut.data[lut.index] / lut.white
        cautions.append("voi_lut_unusable: the VOI LUT Sequence was left out")
    centre, width = header.numbers("WindowCenter")[:1], header.numbers("WindowWidth")[:1]
    if not centre and not width:
        return None
    function = header.text("VOILUTFunction") or "LINEAR"
    least = 1.0 if function == "LINEAR" else np.nextafter(0.0, 1.0)
    if not centre or not width or not (np.isfinite(centre[0]) and width[0] >= least):
        cautions.append("window_unusable: Window Center or Width is no valid number")
        return None
    if function not in _WINDOWS:
        cautions.append("voi_function_unknown: the VOI LUT Function was taken as LINEAR")
    with np.errstate(over="ignore"):
        window = _WINDOWS.get(function, _linear)(modality, centre[0], width[0])
    return np.asarray(np.clip(window, 0.0, 1.0))


def _linear(x: FloatTable, centre: float, width: float) -> FloatTable:
    """PS3.3 section C.11.2.1.2.1. A width of 1 is a step at the centre."""
    if width <= 1:
        return (x > centre - 0.5).astype(np.float64)
    return (x - (centre - 0.5)) / (width - 1) + 0.5


def _linear_exact(x: FloatTable, centre: float, width: float) -> FloatTable:
    """PS3.3 section C.11.2.1.3.2."""
    return (x - centre) / width + 0.5


def _sigmoid(x: FloatTable, centre: float, width: float) -> FloatTable:
    """PS3.3 section C.11.2.1.3.1."""
    return np.asarray(1 / (1 + np.exp(-4 * (x - centre) / width)))


_WINDOWS = {"LINEAR": _linear, "LINEAR_EXACT": _linear_exact, "SIGMOID": _sigmoid}


@dataclass(frozen=True)
class _Lut:
    """A lookup table: its data, the entry of every input, and the value that is white."""

    data: FloatTable
    index: NDArray[np.intp]
    white: float


def _lut(item: Attributes, inputs: FloatTable) -> _Lut | None:
    """LUT Descriptor (0028,3002) and LUT Data (0028,3006); None when they make no sense.

    The first mapped value is US or SS as the inputs are; a file's own VR is often wrong.
    """
    descriptor = item.words("LUTDescriptor")
    if descriptor.size != 3 or not 8 <= descriptor[2] <= 16:
        return None
    entries, first, bits = int(descriptor[0]) or 2**16, int(descriptor[1]), int(descriptor[2])
    if inputs.min() < 0 and first >= 2**15:
        first -= 2**16
    data = item.words("LUTData")
    if len(item.raw("LUTData")) == entries and bits == 8:  # one byte an entry
        data = np.frombuffer(item.raw("LUTData"), np.uint8).astype(np.uint16)
    if data.size < entries:
        return None
    table = data[:entries].astype(np.float64)
    index = np.clip(np.rint(inputs - first), 0, entries - 1).astype(np.intp)
    # Real files hold entries beyond the bits that they declare.
    return _Lut(table, index, max(2.0**bits - 1, float(table.max())))


def _padding(header: Attributes, values: FloatTable) -> BoolTable:
    """Patterns from Pixel Padding Value (0028,0120) to its Range Limit (0028,0121).

    Some files pad with a word that has more bits than Bits Stored, so the whole pattern is
    compared as well.
    """
    word, limit = header.word("PixelPaddingValue"), header.word("PixelPaddingRangeLimit")
    if word is None:
        return np.zeros(values.size, dtype=np.bool_)
    ends = [float(end) for end in (word, word if limit is None else limit)]
    if values.min() < 0:
        ends = [end - 2**16 if end >= 2**15 else end for end in ends]
    within = (values >= min(ends)) & (values <= max(ends))
    return np.asarray(within | (np.arange(values.size) == word))


def _occurring(stored: Samples, layout: SampleLayout, *, exact: bool) -> BoolTable:
    """Which patterns occur in the image.

    Unless `exact`, every pattern between the lowest and the highest may be said to occur: the
    ends are all that matters for a range, and finding them is twenty times faster.
    """
    occurring = np.zeros(2**layout.bits_allocated, dtype=np.bool_)
    low, high = int(stored.min()), int(stored.max())
    if not exact and not layout.signed and layout.shift == 0 and high < 2**layout.bits:
        occurring[low : high + 1] = True
        return occurring
    flat = stored.reshape(-1)
    for start in range(0, flat.size, _CHUNK_PX):  # the index is widened to 64 bits
        occurring[flat[start : start + _CHUNK_PX]] = True
    return occurring


def _flat(values: FloatTable) -> bool:
    return bool(values.min() == values.max())


def _full_range(modality: FloatTable, kept: BoolTable) -> FloatTable:
    """The lowest kept value becomes 0 and the highest 1."""
    low, high = float(modality[kept].min()), float(modality[kept].max())
    return np.asarray(np.clip((modality - low) / (high - low or 1.0), 0.0, 1.0))


def _display(shown: FloatTable, padding: BoolTable, *, inverted: bool) -> NDArray[np.uint16]:
    """0..1 of every pattern -> uint16; padding is black whatever the inversion."""
    bright = 1.0 - shown if inverted else shown
    table = np.floor(bright * _WHITE + 0.5 + _TIE).astype(np.uint16)
    table[padding] = 0
    return table


def _look_up(stored: Samples, table: NDArray[np.uint16]) -> NDArray[np.uint16]:
    pixels = np.empty(stored.shape, dtype=np.uint16)
    source, target = stored.reshape(-1), pixels.reshape(-1)
    for start in range(0, source.size, _CHUNK_PX):  # the index is widened to 64 bits
        chunk = slice(start, start + _CHUNK_PX)
        # No index can be out of range; `wrap` only saves checking that.
        np.take(table, source[chunk], out=target[chunk], mode="wrap")
    return pixels
