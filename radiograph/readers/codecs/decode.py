"""Entry point of the decoders: one encoded frame of a transfer syntax -> stored samples.

    codestream --header--> size, components, precision   compared with the data set before
                                                         anything is decoded
               --decode--> rows x columns, uint8 or uint16 bit patterns, and warnings

imagecodecs decodes every compressed transfer syntax of CR and DX: libjpeg-turbo (JPEG of 8 and
12 bits, JPEG lossless), CharLS (JPEG-LS), OpenJPEG (JPEG 2000 and HTJ2K) and its own RLE. It is
called directly and not as a decoder plugin of pydicom, because pydicom's runner tries every
plugin that it finds, merges their errors into one RuntimeError, and decodes before the header of
the frame can be checked.

Source: DICOM PS3.5 section 8.2.
"""

from dataclasses import replace

import numpy as np

from radiograph.readers.codecs import jpeg2000, jpeg_ls, rle
from radiograph.readers.codecs.frame import DecodedFrame, imagecodecs
from radiograph.readers.codecs.jpeg import decode as jpeg
from radiograph.readers.codecs.jpeg import markers
from radiograph.readers.codecs.transfer_syntaxes import JPEG_2000, JPEG_LS, RLE

EXCESS_PIXEL_DATA = "excess_pixel_data: there are more pixel data than one frame needs"


def decode(
    transfer_syntax: str,
    codestream: bytes,
    rows: int,
    columns: int,
    bits_allocated: int,
    samples_per_pixel: int = 1,
) -> DecodedFrame:
    """Decode one frame.

    Args:
        transfer_syntax: the UID of a compressed transfer syntax in `SUPPORTED`.
        codestream: the encoded frame; bytes behind its picture are ignored.
        rows, columns: size that the data set declares.
        bits_allocated: 8 or 16; used for RLE only.
        samples_per_pixel: 1, or 3 for a frame in colour, which JPEG decoders convert to RGB.

    Raises:
        UndecodablePixels: the codestream has no readable header or another size than the data
            set, its picture is not whole, or it cannot be decoded.
        InputTooCostly: JPEG with too many scans for its size.
        ColourImage: the codestream has more components than the data set says.
        UnsupportedEncoding: the decoder is not installed, or DICOM does not use the process.
    """
    imagecodecs()  # refuse before the bytes are looked at, if it is not installed
    if transfer_syntax in RLE:
        # The components follow each other as planes (PS3.5 section G.2).
        frame = rle.decode(codestream, rows * samples_per_pixel, columns, bits_allocated)
        return frame if samples_per_pixel == 1 else _interleaved(frame, rows, columns)
    if transfer_syntax in JPEG_2000:
        header = jpeg2000.header(codestream)
        header.check(rows, columns, samples_per_pixel)
        bare = jpeg2000.bare(codestream)
        return _noting(bare.excess, jpeg2000.decode(bare, header))
    if transfer_syntax in JPEG_LS:
        header = jpeg_ls.header(codestream)
        header.check(rows, columns, samples_per_pixel)
        bare = jpeg_ls.bare(codestream)
        return _noting(bare.excess, jpeg_ls.decode(bare, header))
    picture = markers.parse(codestream)
    picture.header.check(rows, columns, samples_per_pixel)
    picture.check_cost()
    return _noting(picture.excess, jpeg.decode(picture))


def _interleaved(frame: DecodedFrame, rows: int, columns: int) -> DecodedFrame:
    """Return planes below each other as rows x columns x components, without a copy."""
    planes = frame.samples.reshape(-1, rows, columns)
    return replace(frame, samples=np.moveaxis(planes, 0, -1))


def _noting(excess: bool, frame: DecodedFrame) -> DecodedFrame:
    """Add a warning if another picture follows the one that was decoded."""
    return replace(frame, warnings=(*frame.warnings, EXCESS_PIXEL_DATA)) if excess else frame
