"""The DICOM file format: what is recognised, and which transfer syntax a file has."""

import numpy as np
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

from radiograph.errors import InputError, MalformedInput, UndecodablePixels, UnsupportedEncoding
from radiograph.limits import DEFAULT_LIMITS
from radiograph.readers import dicom as reader
from radiograph.readers.part10 import looks_like_dicom, parse
from tests.builders.files.codestreams import LOSSLESS, lossless_file, picture
from tests.builders.files.dicom_files import codes, dataset, dicom, item, put, ramp, write


@pytest.mark.parametrize(
    "transfer_syntax",
    [
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    ],
)
def test_the_transfer_syntax_and_the_attributes_are_parsed(transfer_syntax: str) -> None:
    header, meta = parse(dicom(ramp(), transfer_syntax), DEFAULT_LIMITS)
    assert meta.transfer_syntax == transfer_syntax
    assert meta.sop_class == uid.ComputedRadiographyImageStorage
    assert header.text("Modality") == "CR"
    assert header.word("Rows") == 48


@pytest.mark.parametrize("data", [b"", b"DICM", b"\0" * 200, b"\x89PNG\r\n\x1a\n" + b"\0" * 200])
def test_bytes_that_are_not_dicom_are_malformed(data: bytes) -> None:
    assert not looks_like_dicom(data)
    with pytest.raises(MalformedInput):
        parse(data, DEFAULT_LIMITS)


def test_a_file_looks_like_dicom_with_and_without_a_preamble() -> None:
    file = dicom(ramp())
    assert looks_like_dicom(file)
    assert looks_like_dicom(file[132:])


def test_a_file_without_preamble_is_parsed() -> None:
    header, _ = parse(dicom(ramp())[132:], DEFAULT_LIMITS)
    assert header.word("Rows") == 48


@pytest.mark.parametrize(
    "transfer_syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian]
)
def test_large_pixel_data_are_not_copied(transfer_syntax: str) -> None:
    stored = ramp(1024, 1024)
    file = dicom(stored, transfer_syntax)
    found = reader.read(file)
    assert np.array_equal(found.samples, stored)
    assert np.shares_memory(found.samples, np.frombuffer(file, dtype=np.uint8))


def test_an_explicit_file_that_claims_to_be_implicit_is_read() -> None:
    file = dicom(ramp(), uid.ExplicitVRLittleEndian)
    claimed = file.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0", 1)
    assert claimed != file
    assert np.array_equal(reader.read(claimed).pixels, reader.read(file).pixels)


@pytest.mark.parametrize(
    "transfer_syntax",
    [
        uid.MPEG2MPML,
        "1.2.840.10008.1.2.4.94",
        "1.2.840.10008.1.2.4.112",
        "1.2.840.113619.5.2",
        "1.2.3.4.5",
    ],
)
def test_an_unknown_transfer_syntax_is_unsupported(transfer_syntax: str) -> None:
    file = dicom(ramp()).replace(
        b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0",
        b"\x02\x00\x10\x00UI"
        + len(transfer_syntax).to_bytes(2, "little")
        + transfer_syntax.encode(),
        1,
    )
    with pytest.raises(UnsupportedEncoding):
        parse(file, DEFAULT_LIMITS)


def test_a_missing_transfer_syntax_is_unsupported() -> None:
    file = dicom(ramp()).replace(b"\x02\x00\x10\x00UI\x14\x00", b"\x02\x00\x11\x00UI\x14\x00", 1)
    with pytest.raises(UnsupportedEncoding):
        parse(file, DEFAULT_LIMITS)


@pytest.mark.parametrize("transfer_syntax", [uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_a_bare_data_set_in_explicit_vr_is_unsupported(transfer_syntax: str) -> None:
    _, bare = halves(dicom(ramp(), transfer_syntax))
    assert looks_like_dicom(bare)
    with pytest.raises(UnsupportedEncoding):
        parse(bare, DEFAULT_LIMITS)


@pytest.mark.parametrize("before", [b"", b"\0" * 128 + b"DICM"])
def test_a_bare_data_set_in_implicit_vr_is_read_with_a_warning(before: bytes) -> None:
    file = dicom(ramp(), uid.ImplicitVRLittleEndian)
    radiograph = reader.read(before + halves(file)[1])
    assert np.array_equal(radiograph.pixels, reader.read(file).pixels)
    assert codes(radiograph.warnings) == ["transfer_syntax_assumed"]


def test_a_bare_data_set_with_encapsulated_pixels_is_undecodable() -> None:
    made = dataset(ramp())
    put(made, "PixelData", encapsulate([b"ab"]), "OB")
    made["PixelData"].is_undefined_length = True
    _, bare = halves(write(made, None, uid.ImplicitVRLittleEndian))
    with pytest.raises(UndecodablePixels):
        reader.read(bare)


@pytest.mark.parametrize("cut", [8, 9, 50, 200, 3000])
def test_a_bare_data_set_that_is_cut_short_is_malformed(cut: int) -> None:
    _, bare = halves(dicom(ramp(), uid.ImplicitVRLittleEndian))
    with pytest.raises(InputError):
        reader.read(bare[:cut])


@pytest.mark.parametrize(
    ("written", "stated"),
    [
        (uid.ExplicitVRBigEndian, uid.ExplicitVRLittleEndian),
        (uid.ExplicitVRBigEndian, uid.ImplicitVRLittleEndian),
        (uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian),
        (uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian),
    ],
)
def test_a_data_set_of_the_other_byte_order_is_named(written: str, stated: str) -> None:
    meta, _ = halves(dicom(ramp(), stated))
    _, data_set = halves(dicom(ramp(), written))
    with pytest.raises(MalformedInput, match="endian, but the transfer syntax says"):
        reader.read(meta + data_set)


ENCAPSULATED = [syntax for syntax, encode in LOSSLESS.items() if encode is not None]
EMPTY_ITEM = b"\xfe\xff\0\xe0\0\0\0\0"
TAILS = [
    b"\xff" * 8,
    b"\xff" * 100,
    b"\0" * 100,
    b"\r\n",
    b"\xfe\xff\x0d\xe0\0\0\0\0",
    b"\xfc\xff\xfc\xffOB\0\0\x64\0\0\0" + bytes(10),  # padding (FFFC,FFFC), cut short
    dicom(ramp(2, 2)),  # another file
]


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("transfer_syntax", LOSSLESS)
def test_bytes_behind_the_pixel_data_do_no_harm(transfer_syntax: str, tail: bytes) -> None:
    file = lossless_file(picture(), transfer_syntax)
    radiograph = reader.read(file + tail)
    assert np.array_equal(radiograph.pixels, reader.read(file).pixels)
    assert radiograph.warnings == ()


def test_elements_behind_the_pixel_data_replace_none_before_them() -> None:
    rows = b"\x28\0\x10\0US\x02\0\x05\0"
    assert reader.read(dicom(ramp()) + rows).rows == 48


def test_pixel_data_in_an_icon_do_not_end_the_data_set() -> None:
    icon = item(Rows=2, Columns=2, BitsAllocated=8, PixelData=b"\1\2\3\4")
    file = dicom(ramp(), IconImageSequence=Sequence([icon]))
    assert np.array_equal(reader.read(file).pixels, reader.read(dicom(ramp())).pixels)


@pytest.mark.parametrize("missing", [1, 4, 8])
@pytest.mark.parametrize("transfer_syntax", ENCAPSULATED)
def test_encapsulated_pixel_data_without_their_delimiter_are_read(
    transfer_syntax: str, missing: int
) -> None:
    file = lossless_file(picture(), transfer_syntax)
    assert file.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
    assert np.array_equal(reader.read(file[:-missing]).pixels, reader.read(file).pixels)


@pytest.mark.parametrize("transfer_syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_a_data_set_that_ends_within_a_value_is_malformed(transfer_syntax: str) -> None:
    made = dataset(ramp(), StudyInstanceUID="1.2.3", ImageComments="x" * 100)
    file = write(made, None, transfer_syntax)
    end = file.index(b"x" * 100) + 50
    with pytest.raises(MalformedInput, match="cut short"):
        reader.read(file[:end])


@pytest.mark.parametrize("missing", [40, 1000])
@pytest.mark.parametrize("transfer_syntax", ENCAPSULATED)
def test_encapsulated_pixel_data_of_which_a_part_is_missing_are_refused(
    transfer_syntax: str, missing: int
) -> None:
    with pytest.raises(UndecodablePixels):
        reader.read(lossless_file(picture(), transfer_syntax)[:-missing])


@pytest.mark.parametrize("fragments", [1, 3])
@pytest.mark.parametrize("transfer_syntax", ENCAPSULATED)
def test_a_missing_offset_table_does_no_harm(transfer_syntax: str, fragments: int) -> None:
    words, encode = picture(), LOSSLESS[transfer_syntax]
    assert encode is not None
    frame = encode(words)
    size = -(-len(frame) // fragments // 2) * 2
    pieces = [frame[at : at + size] for at in range(0, len(frame), size)]
    made = dataset(words)
    put(made, "PixelData", encapsulate(pieces, has_bot=False)[len(EMPTY_ITEM) :], "OB")
    made["PixelData"].is_undefined_length = True
    expected = reader.read(lossless_file(words, transfer_syntax)).pixels
    assert np.array_equal(reader.read(write(made, None, transfer_syntax)).pixels, expected)


def halves(file: bytes) -> tuple[bytes, bytes]:
    """Split a file before its data set, which starts with SOP Class UID (0008,0016)."""
    start = max(file.find(b"\x08\x00\x16\x00"), file.find(b"\x00\x08\x00\x16"))
    return file[:start], file[start:]


@pytest.mark.parametrize("length", range(9))
def test_a_data_set_of_a_few_bytes_has_no_byte_order(length: int) -> None:
    meta, _ = halves(dicom(ramp()))
    with pytest.raises(InputError):
        reader.read(meta + b"\x00\x08\x00\x16UI\x00\x04"[:length])
