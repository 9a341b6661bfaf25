"""Reader of PNG and JPEG files.

    bytes --signature--> header --check size--> decode --EXIF orientation--> grayscale

A colour image whose channels are all equal is read as grayscale, and so is a palette of grays.
Transparent pixels are composited over black. The EXIF orientation is applied, so pixels and
results are in the coordinates of the image as a viewer shows it. Gray values are taken as they are
stored: gamma (gAMA), colour profiles and densities are not applied.

A 16-bit PNG keeps its 16 bits (see `png16`). 8-bit samples are multiplied by 257, which maps 0..255
exactly onto 0..65535, so that the same picture gives the same pixels at either depth. PNG and JPEG
carry no pixel spacing, view position or patient.

A JPEG file that is damaged inside is refused, or read with a warning; `codecs.jpeg.damage` says
when. JPEG of 12 bits, lossless JPEG and JPEG-LS are read in DICOM files only.
"""

from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radiograph.errors import (
    ColourImage,
    InputTooLarge,
    MultiFrameImage,
    UndecodablePixels,
    UnsupportedEncoding,
    UnusableImage,
)
from radiograph.geometry.orientation import UPRIGHT, Orientation
from radiograph.image import Radiograph
from radiograph.limits import DEFAULT_LIMITS, Limits, as_malformed_input
from radiograph.readers import png16
from radiograph.readers.codecs.decode import EXCESS_PIXEL_DATA
from radiograph.readers.codecs.jpeg.damage import damage, judge, listen, plain_stream
from radiograph.readers.codecs.jpeg.markers import FILE_PROCESSES, JpegPicture, parse
from radiograph.readers.png_rows import check_rows

PNG_SIGNATURE = png16.SIGNATURE
JPEG_SIGNATURE = b"\xff\xd8\xff"
"""Start of image (SOI), and the first byte of the marker that follows."""

_START_OF_SCAN = b"\xff\xda"
_MAX_PARTS = 50_000
_MAX_SCANS = 100
_PILLOW_FORMATS = ("PNG", "JPEG")
_8_TO_16_BITS = 257
"""65535 / 255."""

_EXIF_ORIENTATION = 0x0112
_EXIF_ORIENTATIONS = {
    2: Orientation(columns_flipped=True),
    3: Orientation(rows_flipped=True, columns_flipped=True),
    4: Orientation(rows_flipped=True),
    5: Orientation(transposed=True),
    6: Orientation(transposed=True, columns_flipped=True),
    7: Orientation(transposed=True, rows_flipped=True, columns_flipped=True),
    8: Orientation(transposed=True, rows_flipped=True),
}
"""Steps that turn stored pixels as a viewer shows them, by the value of EXIF Orientation."""


def read(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Radiograph:
    """Read one chest radiograph from a PNG or JPEG file.

    Args:
        data: the file.
        limits: what the file may cost; pixels are counted before anything is decoded.

    Raises:
        UnsupportedEncoding: the file is neither PNG nor JPEG of 8 bits.
        UndecodablePixels: the file is broken, or a part of the picture is missing.
        InputTooLarge: the file has more bytes, pixels, parts or scans than allowed.
        InputTooCostly: a JPEG file has too many scans for its size.
        MultiFrameImage: a PNG file is animated. Of several JPEG pictures the first is read.
        ColourImage: the channels differ.
        UnusableImage: the image has one bit per pixel.
    """
    limits.check_bytes(data)
    if not data.startswith((PNG_SIGNATURE, JPEG_SIGNATURE)):
        raise UnsupportedEncoding("the file is neither PNG nor JPEG")
    _check_parts(data)
    picture = _jpeg_picture(data) if data.startswith(JPEG_SIGNATURE) else None
    if picture is None:
        data = png16.bare(data)
    elif not picture.complete:
        data = picture.data  # Pillow insists on the end marker
    with as_malformed_input("the image cannot be decoded", UndecodablePixels), _open(data) as image:
        limits.check_pixels(image.height, image.width)
        if picture is None:
            if getattr(image, "n_frames", 1) > 1:
                raise MultiFrameImage("more than one picture in the file")
            return Radiograph(_pixels(image, data))
        limits.check_pixels(picture.header.rows, picture.header.columns)
        picture.check_cost()
        pixels, warnings = _jpeg_pixels(image, data, picture)
        excess = (EXCESS_PIXEL_DATA,) if picture.excess else ()
        return Radiograph(pixels, warnings=(*warnings, *excess))


def _jpeg_picture(data: bytes) -> JpegPicture:
    """Find the segments of a JPEG file, and refuse one that is not of 8 bits and DCT-coded."""
    picture = parse(data)
    if picture.process not in FILE_PROCESSES or picture.header.precision != 8:
        raise UnsupportedEncoding(f"the file is {picture.process_name}; 8-bit DCT JPEG is read")
    return picture


def _check_parts(data: bytes) -> None:
    """Refuse a file with too many chunks, markers or scans.

    Pillow walks chunks and markers in Python and needs a second for two megabytes of empty ones.
    Each scan of a progressive JPEG passes over the whole image, yet may be only ten bytes long.
    """
    parts = png16.chunks(data) if data.startswith(PNG_SIGNATURE) else _jpeg_markers(data)
    if next(islice(parts, _MAX_PARTS, None), None) is not None:
        raise InputTooLarge(f"the file has more than {_MAX_PARTS} parts")
    if data.startswith(JPEG_SIGNATURE) and data.count(_START_OF_SCAN) > _MAX_SCANS:
        raise InputTooLarge(f"the file has more than {_MAX_SCANS} scans")


def _jpeg_markers(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield each marker before the first scan and its offset; every fill byte counts as one."""
    at = 2  # after the start of image
    while at + 4 <= len(data) and data[at : at + 2] != _START_OF_SCAN:
        yield data[at : at + 2], at
        is_filler = data[at] != 0xFF or data[at + 1] == 0xFF
        at += 1 if is_filler else 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def _open(data: bytes) -> Image.Image:
    """Read the header only; nothing is decoded yet."""
    try:
        return Image.open(BytesIO(data), formats=_PILLOW_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputTooLarge("the image has too many pixels") from None


def _jpeg_pixels(
    image: Image.Image, data: bytes, picture: JpegPicture
) -> tuple[NDArray[np.uint16], tuple[str, ...]]:
    """Decode an opened JPEG file: rows x columns, uint16, and the warnings of damage in it.

    simplejpeg hears damage while it decodes. It gives the samples of Pillow where there is one
    channel, whose values no choice of upsampling or conversion changes; so one pass is enough.
    """
    if picture.header.samples_per_pixel != 1:
        warnings = damage(picture)
        return _pixels(image, data), warnings
    samples, complaint = listen(plain_stream(picture))
    warnings = judge(complaint, picture)
    if samples is None or samples.shape[:2] != (image.height, image.width):
        return _pixels(image, data), warnings
    pixels = samples[:, :, 0] * np.uint16(_8_TO_16_BITS)
    return np.ascontiguousarray(exif_orientation(image).turn(pixels)), warnings


def _pixels(image: Image.Image, data: bytes) -> NDArray[np.uint16]:
    """Decode an opened image, turned as its EXIF orientation says: rows x columns, uint16."""
    header = png16.read_header(data) if image.format == "PNG" else None
    image.load()
    orientation = exif_orientation(image)
    if header is not None:
        check_rows(data, header, image)
        _correct_transparency(image, header.bit_depth)
    if header is not None and header.is_narrowed:
        image.close()  # releases the memory of the narrowed samples
        pixels = png16.decode_gray(data)
    else:
        pixels = _gray(image)
    return np.ascontiguousarray(orientation.turn(pixels))


def exif_orientation(image: Image.Image) -> Orientation:
    """Return the steps that turn the stored pixels of an opened image as a viewer shows them.

    Only EXIF says so: browsers and viewers ignore an orientation in XMP, which Pillow would read.
    EXIF that cannot be read does no harm.
    """
    exif = Image.Exif()
    with suppress(Exception):
        exif.load(image.info.get("exif", b""))
    return _EXIF_ORIENTATIONS.get(exif.get(_EXIF_ORIENTATION, 1), UPRIGHT)


def _correct_transparency(image: Image.Image, bit_depth: int) -> None:
    """Scale the transparent gray value of 2- and 4-bit samples as Pillow scales the samples.

    Only the bits of a sample count (PNG section 11.3.1.1).
    """
    value = image.info.get("transparency")
    if isinstance(value, int) and image.mode == "L":
        top = 2**bit_depth - 1
        image.info["transparency"] = (value & top) * 255 // top


def _gray(image: Image.Image) -> NDArray[np.uint16]:
    """Convert any mode that Pillow gives for PNG and JPEG to rows x columns, uint16."""
    if image.mode == "1":
        raise UnusableImage("one bit per pixel is a drawing or a mask, not a radiograph")
    if image.mode == "CMYK":
        raise ColourImage("the image is in colour")
    if image.mode.startswith("I"):  # 16-bit gray: `I;16` (uint16) or `I` (int32)
        return np.asarray(image).astype(np.uint16)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "black"), layer)
    if image.mode != "L":
        image = _equal_channel(image.convert("RGB"))
    return np.asarray(image).astype(np.uint16) * np.uint16(_8_TO_16_BITS)


def _equal_channel(image: Image.Image) -> Image.Image:
    """Return the first channel of an RGB image if all its channels are equal."""
    red, green, blue = image.split()
    if not (red.tobytes() == green.tobytes() == blue.tobytes()):
        raise ColourImage("the image is in colour")
    return red
