"""A grayscale radiograph that is stored in colour is read as the same PNG file is."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid
from pydicom.pixels.encoders.base import get_encoder

from radiograph.errors import ColourImage, InputError, InputTooLarge, UndecodablePixels
from radiograph.limits import Limits
from radiograph.readers import dicom as reader
from tests.builders.files import dicom_files as files
from tests.builders.files.dicom_files import dicom, ramp

GRAY = ramp(top=255).astype(np.uint8)
RGB: dict[str, Any] = {
    "PhotometricInterpretation": "RGB",
    "SamplesPerPixel": 3,
    "PlanarConfiguration": 0,
}
PLANAR = RGB | {"PlanarConfiguration": 1}
YBR = RGB | {"PhotometricInterpretation": "YBR_FULL"}
SUBSAMPLED = RGB | {"PhotometricInterpretation": "YBR_FULL_422"}
NATIVE = [
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
]


def stored(
    channels: NDArray[Any], transfer_syntax: str = uid.ExplicitVRLittleEndian, **attributes: Any
) -> bytes:
    """Return a file with samples of rows x columns x channels; planar if the attributes say so."""
    made = files.dataset(channels[..., 0], **attributes)
    planar = attributes["PlanarConfiguration"] == 1
    samples = np.moveaxis(channels, -1, 0) if planar else channels
    big = transfer_syntax == uid.ExplicitVRBigEndian
    data = samples.astype(channels.dtype.newbyteorder(">" if big else "<")).tobytes()
    vr = "OB" if channels.dtype.itemsize == 1 else "OW"
    return files.write(made, data, transfer_syntax, vr=vr)


def ybr(gray: NDArray[np.uint8], blue: int = 128, red: int = 128) -> NDArray[np.uint8]:
    return np.stack([gray, np.full_like(gray, blue), np.full_like(gray, red)], axis=2)


def subsampled(gray: NDArray[np.uint8], blue: int = 128, red: int = 128) -> NDArray[np.uint8]:
    """Two luminance samples and one pair of chroma samples for every two pixels of a row."""
    pairs = gray.reshape(gray.shape[0], -1, 2)
    chroma = np.broadcast_to(np.array([blue, red], np.uint8), pairs.shape)
    return np.concatenate([pairs, chroma], axis=2).reshape(*gray.shape, 2)


@pytest.mark.parametrize("transfer_syntax", NATIVE)
@pytest.mark.parametrize("attributes", [RGB, PLANAR])
@pytest.mark.parametrize("gray", [GRAY, ramp()])
def test_equal_channels_give_the_pixels_of_the_monochrome_image(
    transfer_syntax: str, attributes: dict[str, Any], gray: NDArray[Any]
) -> None:
    image = reader.read(stored(np.stack([gray] * 3, axis=2), transfer_syntax, **attributes))
    assert np.array_equal(image.pixels, reader.read(dicom(gray)).pixels)
    assert image.photometric_interpretation == "RGB"
    assert image.warnings == ()


@pytest.mark.parametrize("attributes", [YBR, YBR | {"PlanarConfiguration": 1}])
def test_neutral_chroma_is_gray(attributes: dict[str, Any]) -> None:
    image = reader.read(stored(ybr(GRAY), **attributes))
    assert np.array_equal(image.pixels, reader.read(dicom(GRAY)).pixels)


def test_subsampled_neutral_chroma_is_gray() -> None:
    image = reader.read(stored(subsampled(GRAY), **SUBSAMPLED))
    assert np.array_equal(image.pixels, reader.read(dicom(GRAY)).pixels)


@pytest.mark.parametrize("attributes", [RGB, PLANAR])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_one_pixel_in_colour_is_refused(attributes: dict[str, Any], channel: int) -> None:
    samples = np.stack([GRAY] * 3, axis=2)
    samples[20, 30, channel] ^= 1
    with pytest.raises(ColourImage):
        reader.read(stored(samples, **attributes))


@pytest.mark.parametrize("chroma", [(127, 128), (128, 129), (0, 0)])
def test_other_chroma_is_refused(chroma: tuple[int, int]) -> None:
    for file in (
        stored(ybr(GRAY, *chroma), **YBR),
        stored(subsampled(GRAY, *chroma), **SUBSAMPLED),
    ):
        with pytest.raises(ColourImage):
            reader.read(file)


def test_windows_do_not_apply_to_colour_spaces() -> None:
    samples = np.stack([GRAY] * 3, axis=2)
    windowed = stored(samples, **RGB, WindowCenter="10", WindowWidth="5")
    assert np.array_equal(reader.read(windowed).pixels, reader.read(stored(samples, **RGB)).pixels)


@pytest.mark.parametrize("attributes", [RGB, PLANAR, YBR, SUBSAMPLED])
def test_missing_samples_are_undecodable(attributes: dict[str, Any]) -> None:
    with pytest.raises(UndecodablePixels, match="are needed"):
        reader.read(stored(GRAY[..., None], **attributes))


def test_an_odd_number_of_subsampled_pixels_is_undecodable() -> None:
    made = files.dataset(GRAY, **SUBSAMPLED, Columns=63)
    with pytest.raises(UndecodablePixels, match="pairs of pixels"):
        reader.read(files.write(made, subsampled(GRAY).tobytes(), vr="OB"))


@pytest.mark.parametrize(
    "attributes",
    [{"SamplesPerPixel": 1}, {"SamplesPerPixel": 4}, {"PhotometricInterpretation": "CMYK"}],
)
def test_samples_that_do_not_fit_the_colour_space_are_refused(attributes: dict[str, Any]) -> None:
    with pytest.raises(ColourImage):
        reader.read(stored(np.stack([GRAY] * 3, axis=2), **(RGB | attributes)))


def test_pixels_are_counted_before_colour_samples() -> None:
    made = files.dataset(GRAY, **RGB, Rows=65535, Columns=65535)
    with pytest.raises(InputTooLarge):
        reader.read(files.write(made, GRAY.tobytes(), vr="OB"))
    with pytest.raises(InputTooLarge):
        reader.read(stored(np.stack([GRAY] * 3, axis=2), **RGB), Limits(max_pixels=48 * 64 - 1))


def rle(samples: NDArray[Any]) -> bytes:
    bits = samples.dtype.itemsize * 8
    return get_encoder(uid.RLELossless).encode(
        samples.tobytes(),
        rows=samples.shape[0],
        columns=samples.shape[1],
        samples_per_pixel=3,
        photometric_interpretation="RGB",
        bits_allocated=bits,
        bits_stored=bits,
        pixel_representation=0,
        planar_configuration=0,
        number_of_frames=1,
        encoding_plugin="pydicom",
    )


def jpeg_lossless(samples: NDArray[Any]) -> bytes:
    return bytes(
        imagecodecs.jpeg8_encode(samples, lossless=True, colorspace="RGB", outcolorspace="RGB")
    )


def j2k(samples: NDArray[Any]) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(samples, codecformat="J2K"))


LOSSLESS = [
    (uid.RLELossless, "RGB", rle),
    (uid.JPEGLosslessSV1, "RGB", jpeg_lossless),
    (uid.JPEGLSLossless, "RGB", imagecodecs.jpegls_encode),
    (uid.JPEG2000Lossless, "YBR_RCT", j2k),
    (uid.JPEG2000Lossless, "RGB", j2k),
]


@pytest.mark.parametrize(("transfer_syntax", "photometric", "encode"), LOSSLESS)
def test_compressed_gray_in_colour_is_read(
    transfer_syntax: str, photometric: str, encode: Callable[[NDArray[Any]], bytes]
) -> None:
    attributes = RGB | {"PhotometricInterpretation": photometric}
    samples = np.stack([GRAY] * 3, axis=2)
    image = reader.read(files.encoded(encode(samples), GRAY, transfer_syntax, **attributes))
    assert np.array_equal(image.pixels, reader.read(dicom(GRAY)).pixels)
    samples[20, 30, 1] ^= 1
    with pytest.raises(ColourImage):
        reader.read(files.encoded(encode(samples), GRAY, transfer_syntax, **attributes))


def test_16_bit_rle_in_colour_is_read() -> None:
    gray = ramp()
    file = files.encoded(rle(np.stack([gray] * 3, axis=2)), gray, uid.RLELossless, **RGB)
    assert np.array_equal(reader.read(file).pixels, reader.read(dicom(gray)).pixels)


def test_neutral_chroma_that_the_decoder_does_not_convert_is_gray() -> None:
    file = files.encoded(imagecodecs.jpegls_encode(ybr(GRAY)), GRAY, uid.JPEGLSLossless, **YBR)
    assert np.array_equal(reader.read(file).pixels, reader.read(dicom(GRAY)).pixels)


@pytest.mark.parametrize("photometric", ["YBR_FULL_422", "YBR_FULL", "RGB"])
def test_a_gray_picture_in_a_colour_jpeg_is_read(photometric: str) -> None:
    attributes = RGB | {"PhotometricInterpretation": photometric}
    buffer = BytesIO()
    Image.fromarray(np.stack([GRAY] * 3, axis=2)).save(buffer, "JPEG", quality=95)
    image = reader.read(files.encoded(buffer.getvalue(), GRAY, uid.JPEGBaseline8Bit, **attributes))
    difference = image.pixels.astype(int) - reader.read(dicom(GRAY)).pixels
    assert np.abs(difference).max() < 4 * 257


def test_components_that_contradict_the_header_are_refused() -> None:
    samples = np.stack([GRAY] * 3, axis=2)
    one = files.encoded(imagecodecs.jpegls_encode(GRAY), GRAY, uid.JPEGLSLossless, **RGB)
    with pytest.raises(UndecodablePixels, match="1 components"):
        reader.read(one)
    with pytest.raises(ColourImage):
        reader.read(files.encoded(imagecodecs.jpegls_encode(samples), GRAY, uid.JPEGLSLossless))
    three = files.encoded(rle(samples)[:-300], GRAY, uid.RLELossless, **RGB)
    with pytest.raises(UndecodablePixels):
        reader.read(three)


def test_damaged_colour_files_end_as_a_result_or_an_input_error() -> None:
    file = bytearray(stored(np.stack([GRAY] * 3, axis=2), **PLANAR))
    random = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(file)
        damaged[random.integers(132, 800)] = random.integers(0, 256)
        try:
            reader.read(bytes(damaged), Limits(max_pixels=100_000))
        except InputError:
            continue
