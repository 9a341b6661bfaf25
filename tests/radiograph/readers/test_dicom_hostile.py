import contextlib
import logging
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import uid

from radiograph.errors import (
    ColourImage,
    InputError,
    InputTooLarge,
    MalformedInput,
    UndecodablePixels,
)
from radiograph.limits import Limits
from radiograph.readers import dicom as reader
from tests.builders.files import dicom_files as files
from tests.builders.files.dicom_files import codes, dicom, encoded, ramp

PLAIN = dicom(ramp())
META = PLAIN[: PLAIN.index(b"\x08\x00\x16\x00")]
STORED_8 = ramp(16, 16, 255).astype(np.uint8)
ENCODED = [
    encoded(imagecodecs.jpeg8_encode(STORED_8), STORED_8, uid.JPEGBaseline8Bit),
    encoded(imagecodecs.jpeg8_encode(STORED_8, lossless=True), STORED_8, uid.JPEGLosslessSV1),
    encoded(imagecodecs.jpegls_encode(STORED_8), STORED_8, uid.JPEGLSLossless),
    encoded(imagecodecs.jpeg2k_encode(STORED_8, codecformat="j2k"), STORED_8, uid.JPEG2000),
    dicom(STORED_8, uid.DeflatedExplicitVRLittleEndian),
    dicom(STORED_8, uid.ImplicitVRLittleEndian),
    dicom(STORED_8, uid.ExplicitVRBigEndian),
]


def meta_for(transfer_syntax: str) -> bytes:
    """A preamble and the file meta information for a transfer syntax, with nothing after it."""
    file = dicom(ramp(2, 2), transfer_syntax)
    length: int = struct.unpack_from("<I", file, 140)[0]
    return file[: 144 + length]


def refused(error: type[InputError], file: bytes, **limits: int) -> str:
    with pytest.raises(InputError) as caught:
        reader.read(file, Limits(**limits))
    assert type(caught.value) is error
    return str(caught.value)


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sHI", group, number, vr, 0, len(value)) + value


@pytest.mark.parametrize(
    ("group", "number", "vr"),
    [
        (0x0008, 0x0005, b"UN"),  # Specific Character Set, which pydicom reads while it parses
        (0x0008, 0x0008, b"UT"),  # Image Type
        (0x0018, 0x0015, b"UN"),  # Body Part Examined
        (0x0018, 0x5101, b"UT"),  # View Position
        (0x0028, 0x0010, b"UN"),  # Rows
        (0x0028, 0x3010, b"OB"),  # VOI LUT Sequence
        (0x0054, 0x0220, b"SQ"),  # View Code Sequence
    ],
)
def test_a_value_of_megabytes_is_read_or_refused(group: int, number: int, vr: bytes) -> None:
    tag = struct.pack("<HH", group, number)
    head, rest = META, PLAIN[len(META) :]
    # In the place of the element, or before the next one, so that tags stay in order.
    places = [rest.find(tag)] if tag in rest else [rest.index(b"\x28\x00\x02\x00")]
    file = head + rest[: places[0]] + element(group, number, vr, b"CHEST\\" * 400_000)
    with contextlib.suppress(InputError):
        reader.read(file + rest[places[0] :])


def test_a_deflate_bomb_is_refused_while_it_is_small() -> None:
    pack = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = PLAIN[len(META) :] + b"\x09\x00\x01\x00OB\0\0" + struct.pack("<I", 50_000_000)
    bomb = pack.compress(body) + pack.compress(b"\0" * 50_000_000) + pack.flush()
    file = meta_for(uid.DeflatedExplicitVRLittleEndian) + bomb
    assert len(file) < 100_000
    refused(InputTooLarge, file, max_inflated_bytes=1_000_000)


def test_a_deflated_data_set_that_is_cut_short_is_malformed() -> None:
    refused(MalformedInput, dicom(ramp(), uid.DeflatedExplicitVRLittleEndian)[:-100])


def test_what_claims_to_be_deflated_and_is_not_is_malformed() -> None:
    file = meta_for(uid.DeflatedExplicitVRLittleEndian) + PLAIN[len(META) :]
    refused(MalformedInput, file)


@pytest.mark.parametrize("codec", ["j2k", "jp2"])
def test_a_jpeg_2000_bomb_is_refused_by_its_header(codec: Any) -> None:
    big = np.zeros((3000, 3000), dtype=np.uint8)
    bomb = imagecodecs.jpeg2k_encode(big, 50, codecformat=codec)
    assert len(bomb) < 2000
    message = refused(UndecodablePixels, encoded(bomb, STORED_8, uid.JPEG2000))
    assert "3000 x 3000" in message


def test_a_jpeg_2000_header_hidden_before_the_real_one_does_not_help() -> None:
    small = imagecodecs.jpeg2k_encode(STORED_8, codecformat="j2k")
    big = imagecodecs.jpeg2k_encode(np.zeros((999, 999), np.uint8), 50, codecformat="jp2")
    hidden = big[:40] + struct.pack(">I4s", 8 + len(small), b"free") + small + big[40:]
    try:
        radiograph = reader.read(encoded(hidden, STORED_8, uid.JPEG2000))
    except InputError:
        return
    assert radiograph.pixels.shape == STORED_8.shape


@pytest.mark.parametrize(
    ("codestream", "transfer_syntax"),
    [
        (imagecodecs.jpeg8_encode(np.zeros((2000, 2000), np.uint8)), uid.JPEGBaseline8Bit),
        (
            imagecodecs.jpeg8_encode(np.zeros((2000, 2000), np.uint8), lossless=True),
            uid.JPEGLossless,
        ),
        (imagecodecs.jpegls_encode(np.zeros((2000, 2000), np.uint8)), uid.JPEGLSLossless),
    ],
)
def test_a_jpeg_of_another_size_is_refused_by_its_header(
    codestream: bytes, transfer_syntax: str
) -> None:
    file = encoded(codestream, STORED_8, transfer_syntax)
    assert "2000 x 2000" in refused(UndecodablePixels, file)


def test_an_rle_bomb_is_refused() -> None:
    bomb = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * 100_000
    refused(UndecodablePixels, encoded(bomb, STORED_8, uid.RLELossless))


@pytest.mark.parametrize(
    "segments", [(2, 64, 2**32 - 1), (2, 2**31, 64), (2, 0, 0), (1000, 64, 64), (0,), (15, 64)]
)
def test_false_rle_segments_are_undecodable(segments: tuple[int, ...]) -> None:
    frame = struct.pack(f"<{len(segments)}I", *segments).ljust(64, b"\0") + b"\x03abcd" * 40
    refused(UndecodablePixels, encoded(frame, STORED_8, uid.RLELossless))


def test_an_image_over_the_limit_is_refused_before_it_is_decoded() -> None:
    file = encoded(b"not a codestream", STORED_8, uid.JPEG2000, Rows=60000, Columns=60000)
    refused(InputTooLarge, file)


def test_a_colour_codestream_behind_a_gray_header_is_refused() -> None:
    rgb = np.zeros((16, 16, 3), dtype=np.uint8)
    codestream = imagecodecs.jpeg8_encode(rgb)
    refused(ColourImage, encoded(codestream, STORED_8, uid.JPEGBaseline8Bit))


def test_the_pixel_data_of_another_transfer_syntax_are_undecodable() -> None:
    jpeg = imagecodecs.jpeg8_encode(STORED_8)
    refused(UndecodablePixels, encoded(jpeg, STORED_8, uid.JPEG2000))
    refused(UndecodablePixels, encoded(STORED_8.tobytes(), STORED_8, uid.JPEGBaseline8Bit))
    swapped = ENCODED[0].replace(b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.1\0\0\0", 1)
    refused(UndecodablePixels, swapped)


@pytest.mark.parametrize("cut", [20, 60, 100])
@pytest.mark.parametrize("which", range(4))
def test_encapsulated_pixel_data_that_are_cut_short_are_undecodable(which: int, cut: int) -> None:
    refused(UndecodablePixels, ENCODED[which][:-cut])


@pytest.mark.parametrize("which", range(4))
def test_a_codestream_that_is_cut_short_is_undecodable(which: int) -> None:
    file = ENCODED[which]
    start = file.rindex(b"\xfe\xff\x00\xe0") + 8
    codestream = file[start:-8].rstrip(b"\0")
    syntax = (uid.JPEGBaseline8Bit, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000)
    half = codestream[: len(codestream) // 2]
    refused(UndecodablePixels, encoded(half, STORED_8, syntax[which]))


def test_uncompressed_pixel_data_that_are_cut_short_are_undecodable() -> None:
    refused(UndecodablePixels, PLAIN[:-1000])


@pytest.mark.parametrize("offset", [4, 1_000_000, 2**32 - 1])
def test_a_false_basic_offset_table_is_ignored(offset: int) -> None:
    file = ENCODED[2]
    at = file.index(b"\xfe\xff\x00\xe0\x04\x00\x00\x00") + 8
    false = file[:at] + struct.pack("<I", offset) + file[at + 4 :]
    assert np.array_equal(reader.read(false).pixels, reader.read(file).pixels)


@pytest.mark.parametrize(
    "items", [b"", b"\xfe\xff\x00\xe0\0\0\0\0", b"\xfe\xff\x00\xe0\xff\xff\xff\x7fab", b"no items"]
)
def test_pixel_data_without_fragments_are_undecodable(items: bytes) -> None:
    file = ENCODED[2]
    at = file.index(b"\xfe\xff\x00\xe0\x04\x00\x00\x00")
    refused(UndecodablePixels, file[:at] + items + b"\xfe\xff\xdd\xe0\0\0\0\0")


@pytest.mark.parametrize("depth", [200, 5000])
@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff", b"\0\0\0\0"])
def test_nested_sequences_end_as_a_result_or_an_input_error(depth: int, length: bytes) -> None:
    opening = b"\x09\x00\x10\x10SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0" + length
    try:
        reader.read(META + opening * depth + PLAIN[len(META) :])
    except InputError as error:
        assert type(error) in (MalformedInput, InputTooLarge)  # noqa: PT017


def test_a_flood_of_elements_is_refused() -> None:
    flood = b"".join(
        struct.pack("<HH2sH", 0x0009, number, b"LO", 0) for number in range(0x1000, 0xF000)
    )
    file = META + flood + PLAIN[len(META) :]
    refused(InputTooLarge, file, max_elements=10_000)


def test_a_flood_of_sequence_items_is_refused() -> None:
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 50_000
    flood = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + items
    refused(InputTooLarge, META + flood, max_elements=10_000)


def test_a_flood_of_file_meta_elements_names_no_transfer_syntax_in_time() -> None:
    flood = struct.pack("<HH2sH", 0x0002, 0x0102, b"OB", 0) + b"\0" * 4
    with pytest.raises(InputError):
        reader.read(PLAIN[:132] + flood * 5000 + PLAIN[132:])


def test_a_text_of_absurd_length_is_truncated() -> None:
    at = PLAIN.index(b"\xe0\x7f\x10\x00")
    centre = struct.pack("<HH2sHI", 0x0028, 0x1050, b"UN", 0, 3_000_000) + b"1\\2" * 1_000_000
    width = struct.pack("<HH2sH", 0x0028, 0x1051, b"DS", 4) + b"4096"
    assert reader.read(PLAIN[:at] + centre + width + PLAIN[at:]).rows == 48


def test_threads_leave_the_warning_filters_as_they_were() -> None:
    before = list(warnings.filters)
    expected = reader.read(PLAIN).pixels
    with ThreadPoolExecutor(8) as pool:
        radiographs = list(pool.map(reader.read, [PLAIN] * 200))
    assert all(np.array_equal(one.pixels, expected) for one in radiographs)
    assert list(warnings.filters) == before


def test_a_sequence_of_absurd_length_is_refused() -> None:
    huge = element(0x0008, 0x2218, b"SQ", b"\xfe\xff\x00\xe0\0\0\0\0" * 400_000)
    refused(InputTooLarge, META + huge + PLAIN[len(META) :])


@pytest.mark.parametrize("number", [0x3000, 0x3010])
@pytest.mark.parametrize(
    "value", [b"no", b"no items", b"\xfe\xff\x00\xe0\xff\x00\x00\x00no", b"\0" * 64]
)
def test_a_lut_sequence_of_no_items_ends_as_a_warning_or_malformed(
    number: int, value: bytes
) -> None:
    at = PLAIN.index(b"\xe0\x7f\x10\x00")
    file = PLAIN[:at] + element(0x0028, number, b"SQ", value) + PLAIN[at:]
    try:
        warned = codes(reader.read(file).warnings)
    except MalformedInput:
        return
    assert warned in (["modality_lut_unusable"], ["voi_lut_unusable"])


def test_a_false_length_swallows_the_image() -> None:
    swallowing = b"\x09\x00\x10\x10OB\0\0" + struct.pack("<I", 2**31)
    with pytest.raises(InputError):
        reader.read(META + swallowing + PLAIN[len(META) :])


@pytest.mark.parametrize("cut", range(130, 400, 9))
def test_a_file_that_ends_anywhere_is_an_input_error(cut: int) -> None:
    with pytest.raises(InputError):
        reader.read(PLAIN[:cut])


def test_a_program_in_the_preamble_is_ignored() -> None:
    for magic in (b"MZ", b"\x7fELF"):
        file = magic.ljust(128, b"\x90") + PLAIN[128:]
        assert np.array_equal(reader.read(file).pixels, reader.read(PLAIN).pixels)


def test_messages_never_quote_the_patient() -> None:
    name = files.PATIENT.encode()
    for where in range(0, len(PLAIN), 211):
        broken = bytearray(PLAIN)
        broken[where : where + 2] = b"\xff\xff"
        try:
            warned = reader.read(bytes(broken)).warnings
        except InputError as error:
            assert error.__cause__ is None  # noqa: PT017
            warned = (str(error),)
        assert not any(name.decode() in message for message in warned)


def test_pydicom_neither_warns_nor_logs(caplog: pytest.LogCaptureFixture) -> None:
    made = files.dataset(ramp())
    files.put(made, "SpecificCharacterSet", "Doe^Jane")
    files.put(made, "PatientAge", "Doe^Jane", "LO")
    file = files.write(made, ramp().tobytes())
    caplog.clear()
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        reader.read(file)
    assert caught == []
    assert caplog.records == []
    assert not logging.getLogger("pydicom").disabled


@settings(max_examples=150, deadline=None)
@given(data=st.data(), which=st.integers(0, len(ENCODED) - 1))
def test_damaged_files_end_as_a_result_or_an_input_error(data: st.DataObject, which: int) -> None:
    file = bytearray(ENCODED[which])
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(128, len(file) - 1))] = data.draw(st.integers(0, 255))
    try:
        radiograph = reader.read(bytes(file), Limits(max_pixels=1_000_000))
    except InputError:
        return
    assert radiograph.pixels.size > 0


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_end_as_a_result_or_an_input_error(tail: bytes) -> None:
    for data in (tail, META + tail):
        with pytest.raises(InputError):
            reader.read(data)
