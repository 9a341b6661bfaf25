"""A picture with noise, as a detector gives it, and its codestreams in every transfer syntax."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid
from pydicom.pixels.encoders.base import RLELosslessEncoder

from tests.builders.files import dicom_files as files

Words = NDArray[np.uint16]


def picture(rows: int = 160, columns: int = 144, top: int = 4095) -> Words:
    """Return two bright fields between dark borders, with a little noise, from 0 to `top`."""
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    fields = np.exp(-((np.abs(x) - 0.5) ** 2 * 12 + y**2 * 3))
    noise = np.random.default_rng(0).normal(0, 0.002, fields.shape)
    values = np.clip(fields + noise, 0, 1)
    return np.asarray(values / values.max() * top).round().astype(np.uint16)


def picture_8(rows: int = 160, columns: int = 144) -> NDArray[np.uint8]:
    """Return the picture with 8 bits."""
    return picture(rows, columns, 255).astype(np.uint8)


def jpeg_file(image: NDArray[np.uint8], **options: Any) -> bytes:
    """Return a JPEG file that Pillow encodes."""
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


def rle(stored: NDArray[Any]) -> bytes:
    """Return an RLE frame."""
    bits = stored.dtype.itemsize * 8
    return bytes(
        RLELosslessEncoder.encode(
            stored.tobytes(),
            index=0,
            encoding_plugin="pydicom",
            rows=stored.shape[0],
            columns=stored.shape[1],
            samples_per_pixel=1,
            number_of_frames=1,
            bits_allocated=bits,
            bits_stored=bits,
            pixel_representation=0,
            photometric_interpretation="MONOCHROME2",
        )
    )


def jpeg_lossless(words: Words) -> bytes:
    """Return JPEG lossless of 16 bits."""
    return bytes(imagecodecs.jpeg8_encode(words, lossless=True, bitspersample=16))


def jpeg_ls(words: Words) -> bytes:
    """Return JPEG-LS without loss."""
    return bytes(imagecodecs.jpegls_encode(words))


def jpeg_2000(words: NDArray[Any]) -> bytes:
    """Return JPEG 2000 without loss."""
    return bytes(imagecodecs.jpeg2k_encode(words, codecformat="j2k", reversible=True))


def htj2k(words: Words) -> bytes:
    """Return HTJ2K without loss."""
    return bytes(imagecodecs.htj2k_encode(words, reversible=True))


LOSSLESS: dict[str, Callable[[Words], bytes] | None] = {
    uid.ImplicitVRLittleEndian: None,
    uid.ExplicitVRLittleEndian: None,
    uid.ExplicitVRBigEndian: None,
    uid.DeflatedExplicitVRLittleEndian: None,
    uid.RLELossless: rle,
    uid.JPEGLossless: jpeg_lossless,
    uid.JPEGLosslessSV1: jpeg_lossless,
    uid.JPEGLSLossless: jpeg_ls,
    uid.JPEG2000Lossless: jpeg_2000,
    uid.JPEG2000: jpeg_2000,
    uid.HTJ2KLossless: htj2k,
    uid.HTJ2KLosslessRPCL: htj2k,
    uid.HTJ2K: htj2k,
}
"""Encoders that keep every bit of 16, by transfer syntax; None for uncompressed pixel data."""


def lossless_file(words: Words, transfer_syntax: str, /, **attributes: Any) -> bytes:
    """Return a DICOM file that keeps every bit of the words."""
    encode = LOSSLESS[transfer_syntax]
    if encode is None:
        return files.dicom(words, transfer_syntax, **attributes)
    return files.encoded(encode(words), words, transfer_syntax, **attributes)


def zeroed(codestream: bytes, length: int = 64) -> bytes:
    """Return a codestream with zeros in its middle."""
    middle = len(codestream) // 2
    return codestream[:middle] + bytes(length) + codestream[middle + length :]


def halved(codestream: bytes) -> bytes:
    """Return a codestream without the second half of its data, but with its end marker."""
    return codestream[: len(codestream) // 2] + codestream[-2:]
