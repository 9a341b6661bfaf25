"""Meaning of the bits of stored samples: one rule for every transfer syntax.

    header:     Bits Stored (0028,0101), High Bit (0028,0102), Pixel Representation (0028,0103)
    codestream: precision and sign, if the frame was compressed
    samples:    the bits that are used
      --> SampleLayout, and a warning where these contradict each other

The header says that the bits above High Bit are not part of the value. Real files break this in
two ways, which look alike in the header. Old files keep overlays in the upper bits: then the
lower bits alone are a smooth picture. Other files understate Bits Stored: then the whole word is,
and without its upper bits bright tissue would turn black. So both readings are compared between
neighbouring pixels, and the smoother one is taken. The same comparison decides about the sign, if
the codestream declares signed samples and the header unsigned ones.

    bits_above_stored     bits above Bits Stored are used; the message says as what
    sign_contradicted     the codestream and Pixel Representation disagree about the sign

Source: DICOM PS3.3 section C.7.6.3.1, PS3.5 section 8.1.1.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from radiograph.image import Samples
from radiograph.readers.codecs.frame import FrameHeader
from radiograph.readers.display.grayscale import SampleLayout

_MAX_SAMPLED_LINES = 512
_NEAR = 16
"""Neighbours are near if they differ by less than a sixteenth of the range of Bits Stored."""


@dataclass(frozen=True)
class BitFields:
    """Bit fields of the Image Pixel module.

    Attributes:
        allocated: Bits Allocated, 8 or 16.
        stored: Bits Stored, 1 to `allocated`.
        high_bit: High Bit, at least `stored` - 1.
        signed: True if Pixel Representation is 1.
        padding: Pixel Padding Value (0028,0120), or None.
    """

    allocated: int
    stored: int
    high_bit: int
    signed: bool
    padding: int | None = None


def sample_layout(
    samples: Samples, fields: BitFields, codestream: FrameHeader | None = None
) -> tuple[SampleLayout, tuple[str, ...]]:
    """Decide which bits of the samples are the value, and whether it is signed.

    Args:
        samples: rows x columns bit patterns.
        fields: what the data set declares.
        codestream: what the codestream declares, or None for native and RLE frames.

    Returns:
        layout: the meaning of the patterns.
        warnings: contradictions, each as `code: message`.
    """
    container = samples.dtype.itemsize * 8
    precision = container if codestream is None else min(codestream.precision, container)
    cell_fits = precision > fields.high_bit
    # A codestream that is too narrow for the pixel cell holds the value in its lowest bits.
    shift = fields.high_bit + 1 - fields.stored if cell_fits else 0
    stored = min(fields.stored, precision)
    declared = SampleLayout(container, stored, shift, fields.signed)
    if codestream is not None and codestream.signed and not fields.signed:
        return _choose_sign(samples, declared, precision)
    if shift or stored == precision:
        return declared, ()
    return _choose_bits(samples, declared, replace(declared, bits=precision), fields.padding)


def _choose_bits(
    samples: Samples, declared: SampleLayout, whole: SampleLayout, padding: int | None
) -> tuple[SampleLayout, tuple[str, ...]]:
    """Decide whether the bits above Bits Stored belong to the value."""
    used = _bits_used(samples, declared, whole, padding)
    if used <= declared.bits:
        return declared, ()
    if _is_smoother(samples, whole, declared):
        reason = (
            f"Bits Stored is {declared.bits}, but the gray values use {used} bits; all were read"
        )
        return whole, (f"bits_above_stored: {reason}",)
    reason = f"bits above Bits Stored ({declared.bits}) are no gray values; they were left out"
    return declared, (f"bits_above_stored: {reason}",)


def _bits_used(
    samples: Samples, declared: SampleLayout, whole: SampleLayout, padding: int | None
) -> int:
    """Return the number of bits that the values need; a padding word does not count."""
    high = int(samples.max())
    if high < 2**declared.bits:  # for signed values: without the extension of their sign
        return declared.bits
    if not declared.signed and high != padding:
        return high.bit_length()
    patterns = np.flatnonzero(np.bincount(samples.reshape(-1), minlength=1))
    patterns = patterns[patterns != (-1 if padding is None else padding)]
    if not patterns.size:
        return declared.bits
    values = _values(whole)[patterns]
    low, high = int(values.min()), int(values.max())
    return max(high, -1 - low).bit_length() + declared.signed


def _choose_sign(
    samples: Samples, declared: SampleLayout, precision: int
) -> tuple[SampleLayout, tuple[str, ...]]:
    """Decide about the sign where the codestream is signed and the data set is not."""
    unsigned = replace(declared, bits=precision, shift=0)
    signed = replace(unsigned, signed=True)
    if not (samples >> (precision - 1) & 1).any():  # no negative value: both readings agree
        return unsigned, ()
    chosen = signed if _is_smoother(samples, signed, unsigned) else unsigned
    reading = "signed" if chosen.signed else "unsigned"
    return chosen, (
        f"sign_contradicted: Pixel Representation contradicts the codestream; read as {reading}",
    )


def _is_smoother(samples: Samples, one: SampleLayout, other: SampleLayout) -> bool:
    """Return whether one reading of the samples gives a smoother picture than another.

    Only neighbours for which the readings differ are compared: they are near each other in the
    right reading, and far apart in the wrong one.
    """
    near = 2 ** min(one.bits, other.bits) / _NEAR
    tables = _values(one), _values(other)  # float64, one entry for each pattern
    votes = 0
    for axis in (0, 1):  # neighbours in the same column, then in the same row
        step = -(-samples.shape[1 - axis] // _MAX_SAMPLED_LINES)
        lines = samples[:, ::step] if axis == 0 else samples[::step]
        first, second = (np.abs(np.diff(table[lines], axis=axis)) for table in tables)
        differ = first != second
        votes += int(np.count_nonzero(differ & (first < near)))
        votes -= int(np.count_nonzero(differ & (second < near)))
    return votes > 0


def _values(layout: SampleLayout) -> NDArray[np.float64]:
    """Return the stored value of every bit pattern, 2**bits_allocated, float64, integral."""
    patterns = np.arange(2**layout.bits_allocated)
    return layout.values(layout.ordered(patterns.astype(f"u{layout.bits_allocated // 8}")))
