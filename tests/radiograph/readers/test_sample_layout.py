"""The same content gives the same pixels in every transfer syntax, whatever the header says."""

import imagecodecs
import numpy as np
import pytest
from pydicom import uid

from radiograph.readers import dicom as reader
from radiograph.readers.sample_layout import BitFields, sample_layout
from tests.builders.files.codestreams import LOSSLESS, Words, jpeg_2000, lossless_file, picture
from tests.builders.files.dicom_files import codes, dicom, encoded

CLEAN = picture()
OVERLAY = np.zeros(CLEAN.shape, dtype=np.uint16)
OVERLAY[20:60, 30:90:4] = 0x8000
OVERLAY[80:120:3, 10:50] |= 0x1000
each_syntax = pytest.mark.parametrize("transfer_syntax", LOSSLESS)


@each_syntax
def test_a_clean_picture_is_the_same_without_a_warning(transfer_syntax: str) -> None:
    radiograph = reader.read(lossless_file(CLEAN, transfer_syntax, BitsStored=12))
    assert np.array_equal(radiograph.pixels, reader.read(dicom(CLEAN, BitsStored=12)).pixels)
    assert radiograph.warnings == ()


@each_syntax
def test_overlays_in_the_upper_bits_are_left_out_with_a_warning(transfer_syntax: str) -> None:
    radiograph = reader.read(lossless_file(CLEAN | OVERLAY, transfer_syntax, BitsStored=12))
    assert np.array_equal(radiograph.pixels, reader.read(dicom(CLEAN, BitsStored=12)).pixels)
    assert codes(radiograph.warnings) == ["bits_above_stored"]


@each_syntax
@pytest.mark.parametrize(("bits_stored", "top"), [(10, 4095), (12, 16383), (10, 16383)])
def test_values_above_bits_stored_are_kept_with_a_warning(
    transfer_syntax: str, bits_stored: int, top: int
) -> None:
    words = picture(top=top)
    radiograph = reader.read(lossless_file(words, transfer_syntax, BitsStored=bits_stored))
    assert np.array_equal(radiograph.pixels, reader.read(dicom(words)).pixels)
    assert codes(radiograph.warnings) == ["bits_above_stored"]


@each_syntax
def test_the_extended_sign_of_negative_values_is_no_warning(transfer_syntax: str) -> None:
    signed = CLEAN.astype(np.int16) - 2048
    attributes = {"BitsStored": 12, "PixelRepresentation": 1}
    expected = reader.read(dicom(signed, **attributes)).pixels
    extended: Words = signed.view(np.uint16)
    for mask in (0xFFFF, 0x0FFF):
        words: Words = (extended & mask).astype("u2")
        radiograph = reader.read(lossless_file(words, transfer_syntax, **attributes))
        assert np.array_equal(radiograph.pixels, expected)
        assert radiograph.warnings == ()


@each_syntax
def test_signed_values_above_bits_stored_are_kept(transfer_syntax: str) -> None:
    words = (picture(top=16383).astype(np.int16) - 8192).view(np.uint16)
    attributes = {"BitsStored": 12, "PixelRepresentation": 1}
    radiograph = reader.read(lossless_file(words, transfer_syntax, **attributes))
    assert np.array_equal(radiograph.pixels, reader.read(dicom(words.view(np.int16))).pixels)
    assert codes(radiograph.warnings) == ["bits_above_stored"]


@each_syntax
def test_left_aligned_values_are_shifted(transfer_syntax: str) -> None:
    attributes = {"BitsStored": 12, "HighBit": 15}
    words = CLEAN * np.uint16(16) + np.uint16(5)
    radiograph = reader.read(lossless_file(words, transfer_syntax, **attributes))
    assert np.array_equal(radiograph.pixels, reader.read(dicom(CLEAN, BitsStored=12)).pixels)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_a_codestream_narrower_than_the_cell_holds_the_value_in_its_low_bits(bits: int) -> None:
    words = picture(top=2**bits - 1)
    stream = imagecodecs.jpeg8_encode(words, lossless=True, bitspersample=bits)
    file = encoded(stream, words, uid.JPEGLosslessSV1, BitsStored=bits, HighBit=15)
    assert np.array_equal(reader.read(file).pixels, reader.read(dicom(words)).pixels)


def test_a_padding_word_above_bits_stored_is_no_warning() -> None:
    words = CLEAN.copy()
    words[:, :9] = 0x8000
    radiograph = reader.read(dicom(words, BitsStored=12, PixelPaddingValue=0x8000))
    assert radiograph.warnings == ()
    assert radiograph.pixels[:, :9].max() == 0


def test_one_column_and_one_row_are_read() -> None:
    for shape in ((300, 1), (1, 300), (1, 1)):
        words = np.linspace(0, 4095, 300)[: shape[0] * shape[1]].astype(np.uint16)
        layout, _ = sample_layout(words.reshape(shape), BitFields(16, 10, 9, signed=False))
        assert layout.bits == (16 if words.size > 1 else 10)


class TestSignOfJpeg2000:
    """The codestream says signed where Pixel Representation says unsigned."""

    def test_negative_values_of_a_smooth_picture_are_negative(self) -> None:
        signed = CLEAN.astype(np.int16) - 2048
        file = encoded(jpeg_2000(signed), signed, uid.JPEG2000Lossless, PixelRepresentation=0)
        radiograph = reader.read(file)
        assert np.array_equal(radiograph.pixels, reader.read(dicom(signed)).pixels)
        assert codes(radiograph.warnings) == ["sign_contradicted"]

    def test_unsigned_words_that_were_encoded_as_signed_are_unsigned(self) -> None:
        words = picture(top=65535)
        stream = jpeg_2000(words.view(np.int16))
        radiograph = reader.read(encoded(stream, words, uid.JPEG2000Lossless))
        assert np.array_equal(radiograph.pixels, reader.read(dicom(words)).pixels)
        assert codes(radiograph.warnings) == ["sign_contradicted"]

    def test_a_sign_that_no_value_has_is_no_warning(self) -> None:
        stream = jpeg_2000(CLEAN.astype(np.int16))
        radiograph = reader.read(encoded(stream, CLEAN, uid.JPEG2000Lossless))
        assert np.array_equal(radiograph.pixels, reader.read(dicom(CLEAN)).pixels)
        assert radiograph.warnings == ()
