"""Zip files, most of them hostile: each is read within the limits or refused."""

import io
import struct
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiograph.errors import InputError, InputTooLarge, MalformedInput, UnsupportedEncoding
from service.jobs.archives import zip_archive
from service.jobs.archives.inflate import inflate
from service.jobs.archives.tally import Tally
from service.jobs.job import Contents, Piece
from service.jobs.storage.spool import Spool
from service.settings import JobSettings
from tests.builders.jobs.job_bodies import zip_file

LIMITS = JobSettings(max_items=20, max_inflated_bytes=100_000_000)


def read(data: bytes, limits: JobSettings = LIMITS) -> Contents:
    return zip_archive.read(io.BytesIO(data), 0, len(data), Tally(limits))


def bytes_of(data: bytes, piece: Piece, folder: Path) -> bytes:
    """Return a piece as the worker reads it."""
    spool = Spool(folder, 0)
    spool.prepare()
    incoming = spool.begin()
    incoming.write(data)
    spool.keep(incoming, "job")
    incoming.discard()
    return spool.read("job", piece, 1_000_000)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_each_file_is_read_back_as_it_was_packed(compression: int, tmp_path: Path) -> None:
    files = {"a/1": b"x" * 1000, "b/2": bytes(range(256)) * 40, "3": b""}
    data = zip_file(files, compression)
    pieces = read(data).pieces
    for number, (piece, expected) in enumerate(zip(pieces, files.values(), strict=True)):
        assert bytes_of(data, piece, tmp_path / str(number)) == expected


def test_a_zip_file_behind_other_bytes_is_read_in_place(tmp_path: Path) -> None:
    inner = zip_file({"1": b"abc"})
    body = b"--boundary\r\n\r\n" + inner + b"\r\n--boundary--"
    (piece,) = zip_archive.read(io.BytesIO(body), 14, len(inner), Tally(LIMITS)).pieces
    assert bytes_of(body, piece, tmp_path) == b"abc"


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "C:\\windows\\system.ini2", "a/../../b", "\\\\h\\s"],
)
def test_a_name_is_never_a_path(name: str, tmp_path: Path) -> None:
    data = zip_file({name: b"abc"})
    (piece,) = read(data).pieces
    assert piece.label is None
    assert bytes_of(data, piece, tmp_path / "jobs") == b"abc"
    assert [path.name for path in tmp_path.iterdir()] == ["jobs"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("DICOM/", "folder"),
        ("__MACOSX/1", "macos"),
        ("a/__MACOSX/._1", "macos"),
        ("a/.DS_Store", "macos"),
        ("a/DICOMDIR", "dicomdir"),
        ("dicomdir", "dicomdir"),
        ("autorun.inf", "no_image"),
        ("VIEWER/view.exe", "no_image"),
        ("index.HTML", "no_image"),
        ("LOCKFILE", "no_image"),
        ("Thumbs.db", "no_image"),
        (".hidden", "no_image"),
    ],
)
def test_files_whose_names_are_not_those_of_images_are_skipped_and_counted(
    name: str, reason: str
) -> None:
    found = read(zip_file({name: b"", "1": b"x"}))
    assert (len(found.pieces), found.skipped) == (1, {reason: 1})
    assert found.pieces[0].position == 2


def test_a_file_that_may_be_a_radiograph_is_never_skipped() -> None:
    names = ["1.dcm", "IM0001", "1.2.840.10008", "x.png", "scan.tif", "noise.bin", "LOCKFILES"]
    assert len(read(zip_file(dict.fromkeys(names, b"noise"))).pieces) == len(names)


@pytest.mark.parametrize("data", [zip_file({"1": b"x"}), zip_file({})])
def test_a_nested_archive_is_refused(data: bytes) -> None:
    for files in ({"1.dcm": data}, {"inner.zip": b"whatever"}, {"a.tar": b"x"}):
        with pytest.raises(UnsupportedEncoding):
            read(zip_file(files))


def test_an_encrypted_file_is_refused() -> None:
    data = bytearray(zip_file({"1": b"secret"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    with pytest.raises(UnsupportedEncoding, match="encrypted"):
        read(bytes(data))


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_methods_than_deflate_are_refused(compression: int) -> None:
    with pytest.raises(UnsupportedEncoding):
        read(zip_file({"1": b"x" * 1000}, compression))


def test_more_files_than_the_limit_are_refused() -> None:
    with pytest.raises(InputTooLarge):
        read(zip_file({f"{number}": b"" for number in range(21)}))


def test_the_limits_apply_to_all_archives_of_a_submission() -> None:
    data = zip_file({str(number): b"" for number in range(9)})
    tally = Tally(LIMITS)
    for _ in range(2):
        zip_archive.read(io.BytesIO(data), 0, len(data), tally)
    assert tally.files_left == 2
    with pytest.raises(InputTooLarge, match="at most 20 files"):
        zip_archive.read(io.BytesIO(data), 0, len(data), tally)


def test_bombs_that_are_small_one_by_one_are_refused_by_their_ratio() -> None:
    data, tally = zip_file({"1": bytes(30_000_000)}), Tally(LIMITS)
    for _ in range(2):
        zip_archive.read(io.BytesIO(data), 0, len(data), tally)
    with pytest.raises(InputTooLarge, match="times"):
        zip_archive.read(io.BytesIO(data), 0, len(data), tally)


def test_a_directory_that_would_fill_the_memory_is_refused_unread() -> None:
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 9, 9, 8_000_000, 0, 0)
    with pytest.raises(InputTooLarge, match="directory"):
        read(bytes(8_000_000) + end)


def test_a_bomb_is_refused_by_its_ratio() -> None:
    bomb = zip_file({str(number): bytes(9_000_000) for number in range(10)})
    with pytest.raises(InputTooLarge, match="times"):
        read(bomb)
    with pytest.raises(InputTooLarge, match="unpacked"):
        read(bomb, JobSettings(max_inflated_bytes=1_000_000))


def test_a_small_image_of_one_tone_is_no_bomb() -> None:
    assert len(read(zip_file({"1": bytes(10_000_000)})).pieces) == 1


def test_a_file_larger_than_one_radiograph_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    data = zip_file({"1": bytes(2_000_000)})
    with pytest.raises(InputTooLarge):
        bytes_of(data, read(data).pieces[0], tmp_path)


def test_a_wrong_size_is_detected_without_inflating_more(tmp_path: Path) -> None:
    data = zip_file({"1": bytes(900_000)})
    piece = replace(read(data).pieces[0], size=10)
    with pytest.raises(MalformedInput):
        bytes_of(data, piece, tmp_path)
    stream = io.BytesIO(data)
    stream.seek(piece.start)
    assert len(inflate(stream, piece.stored, 11)) == 11


def test_damaged_bytes_are_detected(tmp_path: Path) -> None:
    data = bytearray(zip_file({"1": b"abcdef"}, zipfile.ZIP_STORED))
    piece = read(bytes(data)).pieces[0]
    data[piece.start] ^= 1
    with pytest.raises(MalformedInput):
        bytes_of(bytes(data), piece, tmp_path)


@pytest.mark.parametrize(("name", "size"), [("1", 1000), ("1", 0), ("1/", 0), ("1.txt", 0)])
def test_entries_that_share_their_header_are_refused(name: str, size: int) -> None:
    """A zip bomb of overlapping files has many directory entries for one local header."""
    data = zip_file({name: b"x" * size})
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    directory = data[start:end] * 5
    size = len(directory)
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 5, 5, size, start, 0)
    with pytest.raises(MalformedInput, match="overlap"):
        read(data[:start] + directory + tail)


@pytest.mark.parametrize("offset", [1, 5, 0x7FFFFFFF, 0xFFFFFFFE])
def test_an_entry_with_a_wrong_offset_is_refused(offset: int) -> None:
    data = bytearray(b"-" + zip_file({"1": b"x" * 100, "2": b"y"}))
    at = data.index(b"PK\x01\x02") + 42
    data[at : at + 4] = struct.pack("<I", offset)
    with pytest.raises(InputError):
        read(bytes(data))


@pytest.mark.parametrize("keep", [0, 1, 21, 22, 60])
def test_a_zip_file_that_is_cut_short_is_refused(keep: int) -> None:
    data = zip_file({"1": b"x" * 1000, "2": b"y" * 1000})
    with pytest.raises(InputError):
        read(data[:keep])


@given(st.data())
def test_a_zip_file_with_a_changed_byte_is_read_or_refused(data: st.DataObject) -> None:
    body = bytearray(zip_file({"1.dcm": b"abc" * 20, "a/2": b"x" * 50}))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] = data.draw(st.integers(0, 255))
    try:
        pieces = read(bytes(body)).pieces
    except InputError:
        return
    for piece in pieces:
        assert 0 <= piece.start <= piece.start + piece.stored <= len(body)


def test_an_empty_zip_file_has_no_files() -> None:
    contents = read(zip_file({}))
    assert (contents.pieces, contents.skipped) == ((), {})


@given(st.binary(max_size=300))
def test_noise_is_refused(noise: bytes) -> None:
    for body in (noise, b"PK\x03\x04" + noise, noise + zip_file({})[-22:]):
        try:
            assert read(body).pieces == ()
        except InputError:
            continue


@given(st.binary(max_size=2000), st.integers(0, 3000))
def test_inflating_gives_the_first_bytes_and_no_more(data: bytes, most: int) -> None:
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(data) + packer.flush()
    assert inflate(io.BytesIO(packed), len(packed), most) == data[:most]
