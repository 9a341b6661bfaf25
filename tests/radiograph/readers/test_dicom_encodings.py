import sys

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import uid
from pydicom.encaps import encapsulate

from radiograph.errors import UnsupportedEncoding
from radiograph.readers import dicom as reader
from tests.builders.files import dicom_files as files
from tests.builders.files.codestreams import rle
from tests.builders.files.dicom_files import codes, dicom, encoded, ramp


def pixels(file: bytes) -> NDArray[np.uint16]:
    return reader.read(file).pixels


@pytest.mark.parametrize(
    "transfer_syntax",
    [
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    ],
)
@pytest.mark.parametrize("top", [255, 4095, 65535])
def test_uncompressed_transfer_syntaxes_keep_every_value(transfer_syntax: str, top: int) -> None:
    stored = ramp(top=top) if top > 255 else ramp(top=top).astype(np.uint8)
    full = {"WindowCenter": 32768, "WindowWidth": 65536} if top == 65535 else {}
    expected = np.round(stored / top * 65535)
    assert np.abs(pixels(dicom(stored, transfer_syntax, **full)) - expected).max() <= 1


def test_8_bit_words_in_big_endian_files_are_swapped_back() -> None:
    stored = ramp(6, 8, 255).astype(np.uint8)
    swapped = stored.reshape(-1, 2)[:, ::-1].tobytes()
    file = files.write(files.dataset(stored), swapped, uid.ExplicitVRBigEndian)
    assert np.array_equal(pixels(file), pixels(dicom(stored)))


def test_luts_of_big_endian_files_are_read() -> None:
    table = np.arange(0, 4096, 2, dtype=np.uint16)
    sequence = files.lut(table, 0, 12)
    big = files.lut(table.byteswap(), 0, 12)
    expected = pixels(dicom(ramp(), VOILUTSequence=sequence))
    file = dicom(ramp(), uid.ExplicitVRBigEndian, VOILUTSequence=big)
    assert np.array_equal(pixels(file), expected)


@pytest.mark.parametrize("transfer_syntax", [uid.JPEGLossless, uid.JPEGLosslessSV1])
@pytest.mark.parametrize("predictor", [1, 4, 7])
@pytest.mark.parametrize("bits", [8, 10, 12, 15, 16])
def test_jpeg_lossless_keeps_every_value(transfer_syntax: str, predictor: int, bits: int) -> None:
    stored = ramp(top=2**bits - 1).astype(np.uint8 if bits == 8 else np.uint16)
    codestream = imagecodecs.jpeg8_encode(
        stored, lossless=True, predictor=predictor, bitspersample=bits
    )
    file = encoded(codestream, stored, transfer_syntax, BitsStored=bits)
    assert np.array_equal(pixels(file), pixels(dicom(stored, BitsStored=bits)))


def test_jpeg_baseline_is_read() -> None:
    stored = ramp(top=255).astype(np.uint8)
    file = encoded(imagecodecs.jpeg8_encode(stored, 95), stored, uid.JPEGBaseline8Bit)
    assert np.abs(pixels(file) - pixels(dicom(stored)).astype(int)).max() <= 3 * 257


def test_jpeg_extended_12_bit_is_read() -> None:
    stored = ramp()
    codestream = imagecodecs.jpeg8_encode(stored, 95, bitspersample=12)
    file = encoded(codestream, stored, uid.JPEGExtended12Bit, BitsStored=12)
    expected = pixels(dicom(stored, BitsStored=12)).astype(int)
    assert np.abs(pixels(file) - expected).max() <= 24 * 16


@pytest.mark.parametrize("near", [0, 3])
@pytest.mark.parametrize("top", [255, 4095, 65535])
def test_jpeg_ls_is_within_its_near_lossless_error(near: int, top: int) -> None:
    stored = ramp(top=top).astype(np.uint8 if top == 255 else np.uint16)
    syntax = uid.JPEGLSNearLossless if near else uid.JPEGLSLossless
    window = {"WindowCenter": (top + 1) / 2, "WindowWidth": top + 1}
    file = encoded(imagecodecs.jpegls_encode(stored, near), stored, syntax, **window)
    error = np.abs(pixels(file) - pixels(dicom(stored, **window)).astype(int)).max()
    assert error <= near * 65535 / top + 1


@pytest.mark.parametrize("transfer_syntax", [uid.JPEG2000Lossless, uid.JPEG2000])
@pytest.mark.parametrize("top", [255, 4095, 65535])
def test_jpeg_2000_lossless_keeps_every_value(transfer_syntax: str, top: int) -> None:
    stored = ramp(top=top).astype(np.uint8 if top == 255 else np.uint16)
    codestream = imagecodecs.jpeg2k_encode(stored, codecformat="j2k", reversible=True)
    assert np.array_equal(
        pixels(encoded(codestream, stored, transfer_syntax)), pixels(dicom(stored))
    )


def test_jpeg_2000_lossy_is_read() -> None:
    stored = ramp()
    codestream = imagecodecs.jpeg2k_encode(stored, 70, codecformat="j2k", bitspersample=12)
    window = {"WindowCenter": 2048, "WindowWidth": 4096, "BitsStored": 12}
    file = encoded(codestream, stored, uid.JPEG2000, **window)
    error = np.abs(pixels(file) - pixels(dicom(stored, **window)).astype(int))
    assert error.max() <= 20 * 16


def test_jpeg_2000_in_a_jp2_wrapper_is_read() -> None:
    stored = ramp()
    codestream = imagecodecs.jpeg2k_encode(stored, codecformat="jp2", reversible=True)
    file = encoded(codestream, stored, uid.JPEG2000Lossless)
    assert np.array_equal(pixels(file), pixels(dicom(stored)))


@pytest.mark.parametrize("transfer_syntax", [uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K])
@pytest.mark.parametrize("top", [255, 4095])
def test_htj2k_lossless_keeps_every_value(transfer_syntax: str, top: int) -> None:
    stored = ramp(top=top).astype(np.uint8 if top == 255 else np.uint16)
    codestream = imagecodecs.htj2k_encode(stored, reversible=True)
    assert np.array_equal(
        pixels(encoded(codestream, stored, transfer_syntax)), pixels(dicom(stored))
    )


def test_htj2k_lossy_is_read() -> None:
    stored = ramp(64, 64)
    codestream = imagecodecs.htj2k_encode(stored, level=0.0005, reversible=False)
    window = {"WindowCenter": 2048, "WindowWidth": 4096, "BitsStored": 12}
    file = encoded(codestream, stored, uid.HTJ2K, **window)
    error = np.abs(pixels(file) - pixels(dicom(stored, **window)).astype(int))
    assert error.max() <= 40 * 16


@pytest.mark.parametrize("shape", [(48, 64), (7, 5), (1, 1), (1, 301)])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_rle_keeps_every_value(shape: tuple[int, int], dtype: str) -> None:
    stored = ramp(*shape, top=200).astype(dtype)
    file = encoded(rle(stored), stored, uid.RLELossless)
    assert np.array_equal(pixels(file), pixels(dicom(stored)))


def test_signed_values_survive_codecs_that_know_no_sign() -> None:
    stored = (ramp().astype(int) - 2048).astype(np.int16)
    patterns = (stored & 0x0FFF).astype(np.uint16)
    attributes = {"BitsStored": 12, "RescaleSlope": 1, "RescaleIntercept": 0}
    expected = pixels(dicom(stored, **attributes))
    jpeg_ls = imagecodecs.jpegls_encode(patterns)
    jpeg_2000 = imagecodecs.jpeg2k_encode(
        patterns, codecformat="j2k", reversible=True, bitspersample=12
    )
    for codestream, syntax in ((jpeg_ls, uid.JPEGLSLossless), (jpeg_2000, uid.JPEG2000Lossless)):
        assert np.array_equal(pixels(encoded(codestream, stored, syntax, **attributes)), expected)


def test_signed_jpeg_2000_is_read() -> None:
    stored = (ramp().astype(int) - 2048).astype(np.int16)
    codestream = imagecodecs.jpeg2k_encode(stored, codecformat="j2k", reversible=True)
    file = encoded(codestream, stored, uid.JPEG2000Lossless)
    assert np.array_equal(pixels(file), pixels(dicom(stored)))


def test_a_frame_in_several_fragments_is_one_frame() -> None:
    stored = ramp()
    codestream = imagecodecs.jpegls_encode(stored)
    made = files.dataset(stored)
    packed = encapsulate([bytes(codestream)], fragments_per_frame=3, has_bot=False)
    made.add_new("PixelData", "OB", packed)
    made["PixelData"].is_undefined_length = True
    file = files.write(made, None, uid.JPEGLSLossless)
    assert np.array_equal(pixels(file), pixels(dicom(stored)))


@pytest.mark.parametrize("fragments", [2, 3, 7])
def test_an_offset_for_each_fragment_of_one_frame_is_ignored(fragments: int) -> None:
    stored = ramp()
    codestream = bytes(imagecodecs.jpegls_encode(stored))
    size = -(-len(codestream) // fragments // 2) * 2
    pieces = [codestream[at : at + size] for at in range(0, len(codestream), size)]
    made = files.dataset(stored)
    made.add_new("PixelData", "OB", encapsulate(pieces, has_bot=True))
    made["PixelData"].is_undefined_length = True
    file = files.write(made, None, uid.JPEGLSLossless)
    assert np.array_equal(pixels(file), pixels(dicom(stored)))


@pytest.mark.parametrize(
    ("codestream", "transfer_syntax"),
    [
        (imagecodecs.jpeg8_encode(ramp(top=255).astype(np.uint8)), uid.JPEGBaseline8Bit),
        (imagecodecs.jpegls_encode(ramp()), uid.JPEGLSLossless),
        (imagecodecs.jpeg2k_encode(ramp(), codecformat="j2k"), uid.JPEG2000),
    ],
)
def test_a_second_picture_in_the_pixel_data_is_a_warning(
    codestream: bytes, transfer_syntax: str
) -> None:
    file = encoded(codestream * 2, ramp(top=255), transfer_syntax)
    once = encoded(codestream, ramp(top=255), transfer_syntax)
    assert np.array_equal(pixels(file), pixels(once))
    assert codes(reader.read(file).warnings) == ["excess_pixel_data"]
    assert reader.read(once).warnings == ()


def test_more_pixel_data_than_one_frame_needs_is_a_warning() -> None:
    stored = ramp()
    file = files.write(files.dataset(stored), stored.tobytes() * 2)
    assert np.array_equal(pixels(file), pixels(dicom(stored)))
    assert codes(reader.read(file).warnings) == ["excess_pixel_data"]


@pytest.mark.parametrize(
    "transfer_syntax", [uid.JPEGBaseline8Bit, uid.JPEGLSLossless, uid.HTJ2K, uid.RLELossless]
)
def test_compressed_files_are_unsupported_without_their_decoders(
    transfer_syntax: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(UnsupportedEncoding, match="not installed"):
        reader.read(encoded(b"\xff\xd8", ramp(), transfer_syntax))


def test_uncompressed_files_need_no_optional_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    assert pixels(dicom(ramp())).shape == (48, 64)
