"""Values of interest: modality values -> displayed values, by VOI LUT, window or range.

    VOI LUT, else first window  --shows the image?--> used
                                       '--no--> range of all values  --shows the image?--> used
                                                                             '--no--> 0.5th to
                                                                             99.5th percentile

Real files declare ranges that their pixels do not use: a window of 12 bits in the header of a copy
with 8 bits, a LUT of 16 bits whose entries have 12, or one dead pixel of the highest value. Such an
image is displayed nearly black or nearly white, and under MONOCHROME1 its padding becomes far
darker than all the rest. So a transformation is used only if it shows the used values, which are
those of the 0.5th to the 99.5th percentile of the pixels, without padding and without values that
fill a tenth of the image or more, such as a border. It does not show them

- if they are less than a quarter of the gray scale apart, or
- if it displays less than half of the pixels, and less than a tenth of the range of used values,
  between black and white.

A declared transformation that does not show them is left out with the warning `voi_unusable`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from radiograph.readers.header.attributes import Attributes

FloatTable = NDArray[np.float64]
BoolTable = NDArray[np.bool_]

VOI_UNUSABLE: Final = (
    "voi_unusable: the VOI LUT or window does not fit the pixels; their own range is displayed"
)

_LOW, _HIGH = 0.005, 0.995
"""Shares of the pixels between which values count as used."""
_CONSTANT_SHARE = 0.1
"""Share of the pixels from which a single value counts as a border."""
_MIN_REMAINING_SHARE = 0.05
"""Share of the pixels that has to remain when such values are left out."""
_MIN_REMAINING_VALUES = 8
"""Number of different values that have to remain; fewer are a drawing and no tissue."""

_MIN_CONTRAST = 0.25
_MIN_SHOWN_PIXELS = 0.5
_MIN_SHOWN_RANGE = 0.1
_ALMOST = 1 / 256
"""Distance from black and from white below which a displayed value counts as saturated."""


@dataclass(frozen=True, eq=False)
class UsedValues:
    """Distribution of the samples of an image over its table.

    Attributes:
        counts: N, number of pixels with each entry of the table; 0 for padding.
        between: the entries from the 0.5th to the 99.5th percentile.
    """

    counts: NDArray[np.intp]
    between: slice

    @classmethod
    def of(cls, counts: NDArray[np.intp]) -> "UsedValues":
        """Return the distribution for these counts, of which one at least is not 0."""
        varied = np.where(counts >= _CONSTANT_SHARE * counts.sum(), 0, counts)
        too_few = varied.sum() < _MIN_REMAINING_SHARE * counts.sum()
        if too_few or np.count_nonzero(varied) < _MIN_REMAINING_VALUES:
            varied = counts
        cumulative = np.cumsum(varied)
        low = int(np.searchsorted(cumulative, _LOW * cumulative[-1], side="right"))
        high = int(np.searchsorted(cumulative, _HIGH * cumulative[-1], side="left"))
        return cls(varied, slice(low, max(low, high) + 1))

    def ends(self, values: FloatTable) -> tuple[float, float]:
        """Return the lowest and the highest value of the used entries of a table."""
        used = values[self.between][self.counts[self.between] > 0]
        return float(used.min()), float(used.max())

    def are_shown(self, displayed: FloatTable) -> bool:
        """Return whether displayed values, N, 0 to 1, show these samples as the module says."""
        low, high = self.ends(displayed)
        if high - low < _MIN_CONTRAST:
            return False
        shown = (displayed > _ALMOST) & (displayed < 1 - _ALMOST)
        pixels = self.counts[shown].sum() / self.counts.sum()
        return bool(pixels >= _MIN_SHOWN_PIXELS or shown[self.between].mean() >= _MIN_SHOWN_RANGE)


def displayed_values(
    header: Attributes,
    modality: FloatTable,
    used: UsedValues,
    ends: tuple[float, float],
    warnings: list[str],
) -> FloatTable:
    """Return the displayed value of every modality value.

    Args:
        header: the data set, with its LUTs and windows.
        modality: N, the modality value of each entry of the table.
        used: distribution of the samples over the table.
        ends: lowest and highest modality value in the image, without padding.
        warnings: receives a warning for each attribute that cannot be used.

    Returns:
        N, float64, 0 black to 1 white; not yet inverted for MONOCHROME1.
    """
    is_flat = ends[0] == ends[1]
    for displayed in _declared(header, modality, warnings):
        if is_flat or used.are_shown(displayed):
            return displayed
        warnings.append(VOI_UNUSABLE)
    displayed = _spread(modality, *ends)
    if is_flat or used.are_shown(displayed):
        return displayed
    low, high = used.ends(modality)
    return _spread(modality, low, high) if low < high else displayed


def _spread(modality: FloatTable, low: float, high: float) -> FloatTable:
    """Map `low` and all below it to 0, and `high` and all above it to 1."""
    return np.asarray(np.clip((modality - low) / (high - low or 1.0), 0.0, 1.0))


def _declared(
    header: Attributes, modality: FloatTable, warnings: list[str]
) -> Iterator[FloatTable]:
    """Yield the VOI LUT, or else the first window, as a table of displayed values from 0 to 1.

    Source: DICOM PS3.3 section C.11.2.
    """
    if items := header.items("VOILUTSequence"):
        lut = read_lut(items[0], modality)
        if lut is not None:
            yield lut.data[lut.index] / lut.white
            return
        warnings.append("voi_lut_unusable: the VOI LUT Sequence was left out")
    window = _window(header, modality, warnings)
    if window is not None:
        yield window


def _window(header: Attributes, modality: FloatTable, warnings: list[str]) -> FloatTable | None:
    """Apply the first of Window Center and Width (0028,1050 and 1051)."""
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


@dataclass(frozen=True, eq=False)
class Lut:
    """A lookup table of the header, resolved for a table of inputs.

    Attributes:
        data: the output of each entry, float64.
        index: the entry of each input, 0 to len(data) - 1.
    """

    data: FloatTable
    index: NDArray[np.intp]

    @property
    def white(self) -> float:
        """Output that is displayed white: 2**n - 1 for the smallest n that holds every entry.

        LUT Descriptor declares n as well, but files declare 16 for entries of 12 bits, which would
        be displayed nearly black, and 10 for entries of 12, which would be displayed white.
        """
        return float(2 ** int(self.data.max()).bit_length() - 1) or 1.0


def read_lut(item: Attributes, inputs: FloatTable) -> Lut | None:
    """Read a lookup table for a table of inputs; None if it is unusable.

    The first mapped value is taken for signed if an input is, because the VR in real files is
    often wrong.

    Source: DICOM PS3.3 sections C.11.1.1.1 and C.11.2.1.1.
    """
    found = lut_entries(item)
    if found is None:
        return None
    first, entries = found
    if inputs.min() < 0 and first >= 2**15:
        first -= 2**16
    # Inputs below the first mapped value give the first entry, those above the last the last.
    index = np.clip(np.rint(inputs - first), 0, entries.size - 1).astype(np.intp)
    return Lut(entries.astype(np.float64), index)


def lut_entries(item: Attributes) -> tuple[int, NDArray[np.uint16]] | None:
    """Read LUT Descriptor (0028,3002) and LUT Data (0028,3006) as `table_entries` does."""
    return table_entries(item, "LUTDescriptor", "LUTData")


def table_entries(
    item: Attributes, descriptor_keyword: str, data_keyword: str
) -> tuple[int, NDArray[np.uint16]] | None:
    """Read the entries of a table; None if they are unusable.

    Entries of 8 bits may be stored as words or as bytes, of which an odd number is padded.

    Returns:
        first: first value mapped, as an unsigned word.
        entries: N, the output of `first` and of each value after it.
    """
    descriptor = item.words(descriptor_keyword)
    if descriptor.size != 3 or not 8 <= descriptor[2] <= 16:
        return None
    # Number of entries (0 stands for 65,536), first value mapped, bits of each entry.
    count, first, bits = int(descriptor[0]) or 2**16, int(descriptor[1]), int(descriptor[2])
    data, raw = item.words(data_keyword), item.raw(data_keyword)
    if bits == 8 and len(raw) in (count, count + count % 2):  # one byte for each entry
        data = np.frombuffer(raw, np.uint8).astype(np.uint16)
    return (first, data[:count]) if data.size >= count else None
