r"""Archive: a zip file -> where the radiographs in it lie. Nothing is unpacked, nothing written.

    central directory --limits--> entries --skip, refuse--> pieces (offset, size, CRC-32)

Names are read to leave out what is no image and for labels; they are never paths, so `../` in
one means nothing. The directory is bounded before it is parsed, sizes are bounded before
anything is inflated, and inflating stops at the size that was declared.
"""

import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO

from radiograph.errors import InputTooLarge, MalformedInput, UnsupportedEncoding
from radiograph.readers.read import UNKNOWN
from service.jobs.archives.file_slice import Window
from service.jobs.archives.inflate import inflate
from service.jobs.archives.safe_filenames import safe_filename
from service.jobs.job import Contents, Piece

SIGNATURE = b"PK\x03\x04"
EMPTY = b"PK\x05\x06"
_DIRECTORY_BYTES_PER_ENTRY = 512
_LOCAL_HEADER_BYTES = 30
_HEAD_BYTES = 512
_ENCRYPTED = 0x1
_MEDIA_STORAGE_DIRECTORY = b"1.2.840.10008.1.3.10"  # PS3.4 section B.5, of a DICOMDIR
_NO_IMAGE = re.compile(
    r".*\.(?:bat|cfg|css|csv|dll|exe|gif|html?|icns|ico|inf|ini|js|json|log|md|pdf|sh|so|tsv|txt"
    r"|xml|xsl)|\..*|thumbs\.db|lockfile|version|readme",
    re.IGNORECASE,
)
_NESTED = re.compile(r".*\.(?:7z|gz|jar|rar|tar|tgz|xz|zip)", re.IGNORECASE)


@dataclass(frozen=True)
class ArchiveLimits:
    """How much a zip file may hold.

    Attributes:
        max_entries: files and folders.
        max_inflated_bytes: of all files together.
        max_ratio: inflated to stored, of all files together...
        free_bytes: ...once they are larger than this; a small picture of one tone deflates well.
    """

    max_entries: int
    max_inflated_bytes: int
    max_ratio: float = 100.0
    free_bytes: int = 64 * 1024 * 1024


def read(file: IO[bytes], start: int, size: int, limits: ArchiveLimits) -> Contents:
    """What a zip file that lies within another one holds.

    Args:
        file: open for reading.
        start, size: where the zip file lies in it; the pieces count from the file's beginning.
        limits: how much it may hold.

    Raises:
        MalformedInput: not a zip file, or one whose entries overlap.
        InputTooLarge: more entries or bytes than the limits, or a bomb's ratio.
        UnsupportedEncoding: encrypted, nested, or compressed by other means than deflate.
    """
    window = Window(file, start, size)
    entries = _entries(window, limits)
    _check_sizes(entries, limits)
    pieces: list[Piece] = []
    skipped: Counter[str] = Counter()
    for position, entry in enumerate(entries, 1):
        if reason := _skip_by_name(entry):
            skipped[reason] += 1
            continue
        piece = _piece(window, entry, position, start)
        head = _head(file, piece)
        if _MEDIA_STORAGE_DIRECTORY in head:
            skipped["dicomdir"] += 1
            continue
        if head.startswith((SIGNATURE, EMPTY)) or _NESTED.fullmatch(entry.filename):
            raise UnsupportedEncoding("an archive within the zip file is not read")
        pieces.append(piece)
    _check_overlap(pieces)
    return Contents(tuple(pieces), skipped=dict(skipped))


def _entries(window: Window, limits: ArchiveLimits) -> list[zipfile.ZipInfo]:
    """The central directory, refused before it is parsed when it is too large."""
    longest = limits.max_entries * _DIRECTORY_BYTES_PER_ENTRY + 0x10000
    try:
        with window.reads_at_most(longest), zipfile.ZipFile(window) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError) as error:
        raise MalformedInput("the bytes are not a sound zip file") from error
    except (OSError, ValueError, EOFError, OverflowError) as error:
        raise MalformedInput("the zip file points outside itself") from error
    if len(entries) > limits.max_entries:
        raise InputTooLarge(f"a job has at most {limits.max_entries} files")
    return entries


def _check_sizes(entries: Iterable[zipfile.ZipInfo], limits: ArchiveLimits) -> None:
    inflated = stored = 0
    for entry in entries:
        if entry.flag_bits & _ENCRYPTED:
            raise UnsupportedEncoding("an encrypted zip file is not read")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnsupportedEncoding("a zip file is read when its files are deflated or stored")
        inflated += entry.file_size
        stored += entry.compress_size
    if inflated > limits.max_inflated_bytes:
        raise InputTooLarge(
            f"the files of a job have at most {limits.max_inflated_bytes} bytes when unpacked"
        )
    if inflated > limits.free_bytes and inflated > limits.max_ratio * stored:
        raise InputTooLarge(f"a zip file unpacks to at most {limits.max_ratio:g} times its size")


def _skip_by_name(entry: zipfile.ZipInfo) -> str | None:
    """Why an entry is no radiograph, by its name; None where only its bytes can tell."""
    *folders, name = entry.filename.split("/")
    if not name:
        return "folder"
    if "__MACOSX" in folders or name == ".DS_Store":
        return "macos"
    if name.upper() == "DICOMDIR":
        return "dicomdir"
    return "no_image" if _NO_IMAGE.fullmatch(name) else None


def _piece(window: Window, entry: zipfile.ZipInfo, position: int, start: int) -> Piece:
    """Where the bytes of an entry lie, behind its local header."""
    if entry.header_offset < 0:
        raise MalformedInput("an entry of the zip file lies before it")
    window.seek(entry.header_offset)
    header = window.read(_LOCAL_HEADER_BYTES)
    if len(header) < _LOCAL_HEADER_BYTES or not header.startswith(SIGNATURE):
        raise MalformedInput("an entry of the zip file has no header")
    at = entry.header_offset + _LOCAL_HEADER_BYTES
    at += int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    if at + entry.compress_size > window.size:
        raise MalformedInput("an entry of the zip file is cut short")
    return Piece(
        position=position,
        start=start + at,
        stored=entry.compress_size,
        size=entry.file_size,
        deflated=entry.compress_type == zipfile.ZIP_DEFLATED,
        crc=entry.CRC,
        media_type=UNKNOWN,
        label=safe_filename(entry.filename),
    )


def _head(file: IO[bytes], piece: Piece) -> bytes:
    """The first bytes of a piece; empty where it cannot be inflated, which its item will say."""
    file.seek(piece.start)
    raw = file.read(min(piece.stored, 4 * _HEAD_BYTES))
    if not piece.deflated:
        return raw[:_HEAD_BYTES]
    try:
        return inflate(io.BytesIO(raw), len(raw), _HEAD_BYTES)
    except MalformedInput:
        return b""


def _check_overlap(pieces: Iterable[Piece]) -> None:
    """Two entries of the same bytes are how a small zip file unpacks to a huge one."""
    end = 0
    for piece in sorted(pieces, key=lambda piece: piece.start):
        if piece.start < end:
            raise MalformedInput("entries of the zip file overlap")
        end = piece.start + piece.stored
