"""JPEG: baseline and extended DCT, and lossless, all Huffman coded.

    JpegPicture --8 bits--> simplejpeg, which decodes and listens in one pass --> samples, warnings
                --more----> imagecodecs decodes, damage listens ------------------'
                            unless lossless proves that the scan is whole

Source: ITU-T T.81; DICOM PS3.5 section 8.2.1.
"""

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from radiograph.errors import UndecodablePixels, UnsupportedEncoding
from radiograph.limits import as_malformed_input
from radiograph.readers.codecs.frame import DecodedFrame, bit_patterns, imagecodecs
from radiograph.readers.codecs.jpeg.damage import (
    DATA_LEFT_OVER,
    damage,
    filler_bytes,
    judge,
    listen,
    plain_stream,
    uses_last_byte,
    zeroed,
)
from radiograph.readers.codecs.jpeg.lossless import decode_and_prove
from radiograph.readers.codecs.jpeg.markers import DICOM_PROCESSES, SEQUENTIAL, JpegPicture


def decode(picture: JpegPicture) -> DecodedFrame:
    """Decode one picture of a process that DICOM uses; several components become RGB.

    Raises:
        UndecodablePixels: the picture is not whole, or cannot be decoded.
        UnsupportedEncoding: DICOM does not use the process, or the decoder is not installed.
    """
    if picture.process not in DICOM_PROCESSES:
        raise UnsupportedEncoding(f"{picture.process_name} does not fit the transfer syntax")
    header = picture.header
    is_8_bit_gray = header.precision == 8 and header.samples_per_pixel == 1
    samples, warnings = (_decode_8_bits if is_8_bit_gray else _decode_others)(picture)
    return DecodedFrame(bit_patterns(samples, header.shape), header, warnings)


def _decode_8_bits(picture: JpegPicture) -> tuple[NDArray[np.generic], tuple[str, ...]]:
    """Decode and listen in one pass."""
    stream = plain_stream(picture)
    samples, complaint = listen(stream)
    warnings = judge(complaint, picture)
    if samples is None:
        with as_malformed_input("the JPEG pixel data cannot be decoded", UndecodablePixels):
            samples = simplejpeg.decode_jpeg(stream, "gray", strict=False)
    return np.asarray(samples)[:, :, 0], warnings


def _decode_others(picture: JpegPicture) -> tuple[NDArray[np.generic], tuple[str, ...]]:
    """Decode, and listen in a second pass unless the first has proven that the data are whole."""
    with as_malformed_input("the JPEG pixel data cannot be decoded", UndecodablePixels):
        samples, whole = decode_and_prove(imagecodecs(), picture)
    if whole:
        return samples, zeroed(picture)
    warnings = damage(picture)
    if not warnings and not filler_bytes(picture):
        if whole is None and picture.process in SEQUENTIAL:
            whole = uses_last_byte(picture)
        if whole is False:
            warnings = (DATA_LEFT_OVER,)
    return samples, warnings
