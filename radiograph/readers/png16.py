"""Chunks of a PNG file, and samples of 16 bits that Pillow would reduce to 8.

    PNG --bare--> the chunks that concern the pixels

    PNG of 16 bits --imagecodecs--> gray or RGB, with or without alpha
                   --composite over black, compare the channels--> gray, uint16

Pillow keeps 16 bits only for gray without alpha, and ignores a transparent gray value (tRNS) there.
Narrowed to 8 bits, a picture of 10- or 12-bit values is nearly black, and channels that differ in
the low byte look equal.

Source: PNG, third edition, sections 11.2.1 (IHDR), 11.3.1.1 (tRNS) and 13.16 (alpha).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from radiograph.errors import ColourImage, UnsupportedEncoding

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_END = b"\0\0\0\0IEND\xaeB`\x82"
"""The chunk IEND, with its length and checksum."""

_KEPT = {b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT"}
"""Ancillary chunks that are heard: transparency, orientation, and animation, which is refused."""

_CHUNK_PX = 2**18
_GRAY = 0
"""Colour type of gray samples without alpha."""
_SAMPLES = {2: 3, 4: 2, 6: 4}
"""Samples of one pixel by colour type, where there are several."""


@dataclass(frozen=True)
class PngHeader:
    """The fields of IHDR that tell how samples are stored, and the presence of tRNS.

    Attributes:
        rows, columns: size of the picture.
        bit_depth: bits of one sample, 1 to 16.
        colour_type: 0 gray, 2 RGB, 3 palette, 4 gray with alpha, 6 RGB with alpha.
        interlaced: True if the picture is stored in seven passes.
        has_transparent_value: True if one gray value or colour is transparent.
    """

    rows: int
    columns: int
    bit_depth: int
    colour_type: int
    interlaced: bool
    has_transparent_value: bool

    @property
    def bits_per_pixel(self) -> int:
        """Bits of all samples of one pixel."""
        return self.bit_depth * _SAMPLES.get(self.colour_type, 1)

    @property
    def is_narrowed(self) -> bool:
        """True if Pillow does not keep the samples or their transparency."""
        is_plain_gray = self.colour_type == _GRAY and not self.has_transparent_value
        return self.bit_depth == 16 and not is_plain_gray


def chunks(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield type and offset of each chunk of a PNG file."""
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        yield data[at + 4 : at + 8], at
        # 4 bytes of length, 4 of type, the data, 4 of checksum.
        at += 12 + int.from_bytes(data[at : at + 4], "big")


def bare(data: bytes) -> bytes:
    """Return a PNG file without what does not concern its pixels, such as texts and profiles.

    Decoders refuse a sound picture because of a wrong checksum or too long a text in such a chunk.
    """
    found, view = list(chunks(data)), memoryview(data)
    ends = [*(at for _, at in found), len(data)][1:]
    kept = [
        view[at:end]
        for (kind, at), end in zip(found, ends, strict=False)
        if kind[:1].isupper() or kind in _KEPT  # critical chunks are in upper case (section 5.4)
    ]
    return data if len(kept) == len(found) else b"".join((SIGNATURE, *kept))


def read_header(data: bytes) -> PngHeader:
    """Read the header of a PNG file whose first chunk is IHDR.

    Raises:
        IndexError: the file ends within the header.
    """
    # After signature, length and type: width (4 bytes), height (4), bit depth, colour type,
    # compression, filter, interlace.
    columns, rows = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    before_pixels = takewhile(lambda kind: kind != b"IDAT", (kind for kind, _ in chunks(data)))
    return PngHeader(
        rows=rows,
        columns=columns,
        bit_depth=data[24],
        colour_type=data[25],
        interlaced=data[28] == 1,
        has_transparent_value=b"tRNS" in before_pixels,
    )


def decode_gray(data: bytes) -> NDArray[np.uint16]:
    """Decode a 16-bit PNG file whose size has been checked.

    Returns:
        rows x columns, uint16; transparent pixels are black.

    Raises:
        ColourImage: the channels differ.
        UnsupportedEncoding: the decoder is not installed.
    """
    try:
        import imagecodecs
    except ImportError:
        raise UnsupportedEncoding("the decoder of 16-bit PNG is not installed") from None
    samples = np.asarray(imagecodecs.png_decode(_ended(data)), dtype=np.uint16)
    if samples.ndim == 2:
        return samples
    gray = np.empty(samples.shape[:2], dtype=np.uint16)
    step = max(1, _CHUNK_PX // samples.shape[1])
    for start in range(0, len(samples), step):
        rows = slice(start, start + step)
        gray[rows] = _gray(samples[rows])
    return gray


def _ended(data: bytes) -> bytes:
    """Return a file with its last chunk, IEND, which libpng insists on and Pillow does not."""
    return data if any(kind == b"IEND" for kind, _ in chunks(data)) else data + _END


def _gray(samples: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the gray values of some rows, composited over black.

    Args:
        samples: rows x columns x channels; the last of 2 or 4 channels is alpha.

    Raises:
        ColourImage: the channels of a visible pixel differ.
    """
    gray = samples[..., 0]
    alpha = samples[..., -1] if samples.shape[2] in (2, 4) else None
    if samples.shape[2] > 2:
        differs = (samples[..., 1] != gray) | (samples[..., 2] != gray)
        if (differs if alpha is None else differs & (alpha > 0)).any():
            raise ColourImage("the image is in colour")
    if alpha is None:
        return gray
    # gray * alpha / 65535, rounded, without a division; every step fits into 32 bits.
    product = gray * alpha.astype(np.uint32) + np.uint32(2**15)
    return ((product + (product >> 16)) >> 16).astype(np.uint16)
