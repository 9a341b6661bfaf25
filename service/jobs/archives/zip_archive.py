"""Zip file -> the places of the radiographs in it. Nothing is unpacked or written.

    central directory --limits--> entries --skip, refuse--> pieces (offset, size, CRC-32)

File names serve only to skip files that are no images, and as labels; they are never used as
paths, so `../` has no effect. The directory is bounded before it is parsed, sizes are bounded
before anything is inflated, and inflating stops at the declared size.
"""

import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import IO

from radiograph.errors import MalformedInput, UnsupportedEncoding
from radiograph.readers.read import UNKNOWN
from service.jobs.archives.file_slice import FileSlice
from service.jobs.archives.inflate import inflate
from service.jobs.archives.safe_filenames import safe_filename
from service.jobs.archives.tally import Tally
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


def read(file: IO[bytes], start: int, size: int, tally: Tally) -> Contents:
    """Return the contents of a zip file that is part of another file.

    Args:
        file: file that contains the zip file, open for reading.
        start: offset of the zip file. Offsets of the pieces count from the beginning of `file`.
        size: number of bytes of the zip file.
        tally: total of the submission so far, to which the archive is added.

    Raises:
        MalformedInput: not a zip file, or one whose entries overlap.
        InputTooLarge: more entries or bytes than allowed, or the compression ratio of a zip bomb.
        UnsupportedEncoding: encrypted, nested, or compressed by another method than deflate.
    """
    archive = FileSlice(file, start, size)
    entries = _entries(archive, tally)
    _check_headers(entries)
    _count(entries, tally)
    pieces: list[Piece] = []
    skipped: Counter[str] = Counter()
    for position, entry in enumerate(entries, 1):
        if reason := _skip_by_name(entry):
            skipped[reason] += 1
            continue
        label = safe_filename(entry.filename, keep_numbers=tally.limits.numeric_labels)
        piece = _piece(archive, entry, position, start, label)
        head = _head(file, piece)
        if _MEDIA_STORAGE_DIRECTORY in head:
            skipped["dicomdir"] += 1
            continue
        if head.startswith((SIGNATURE, EMPTY)) or _NESTED.fullmatch(entry.filename):
            raise UnsupportedEncoding("archives inside the zip file are not supported")
        pieces.append(piece)
    _check_overlap(pieces)
    return Contents(tuple(pieces), skipped=dict(skipped))


def _entries(archive: FileSlice, tally: Tally) -> list[zipfile.ZipInfo]:
    """Return the central directory; one that is too large is refused before it is parsed."""
    max_directory_bytes = tally.files_left * _DIRECTORY_BYTES_PER_ENTRY + 0x10000
    try:
        with archive.reads_at_most(max_directory_bytes), zipfile.ZipFile(archive) as zip_file:
            return zip_file.infolist()
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError) as error:
        raise MalformedInput("the bytes are not a valid zip file") from error
    except (OSError, ValueError, EOFError, OverflowError) as error:
        raise MalformedInput("the zip file refers to bytes outside itself") from error


def _check_headers(entries: Iterable[zipfile.ZipInfo]) -> None:
    """Refuse entries that share a local header or its bytes, also those without any content."""
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise MalformedInput("entries of the zip file overlap")
        end = entry.header_offset + _LOCAL_HEADER_BYTES + entry.compress_size


def _count(entries: Sequence[zipfile.ZipInfo], tally: Tally) -> None:
    """Add all entries to the total of the submission."""
    inflated = stored = 0
    for entry in entries:
        if entry.flag_bits & _ENCRYPTED:
            raise UnsupportedEncoding("encrypted zip files are not supported")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnsupportedEncoding("the files of a zip file must be deflated or stored")
        inflated += entry.file_size
        stored += entry.compress_size
    tally.add_archive(len(entries), stored, inflated)


def _skip_by_name(entry: zipfile.ZipInfo) -> str | None:
    """Return the reason to skip an entry because of its name, or None if its bytes must decide."""
    *folders, name = entry.filename.split("/")
    if not name:
        return "folder"
    if "__MACOSX" in folders or name == ".DS_Store":
        return "macos"
    if name.upper() == "DICOMDIR":
        return "dicomdir"
    return "no_image" if _NO_IMAGE.fullmatch(name) else None


def _piece(
    archive: FileSlice, entry: zipfile.ZipInfo, position: int, start: int, label: str | None
) -> Piece:
    """Return the place of the bytes of an entry, after its local header."""
    if entry.header_offset < 0:
        raise MalformedInput("an entry of the zip file begins before the file")
    archive.seek(entry.header_offset)
    header = archive.read(_LOCAL_HEADER_BYTES)
    if len(header) < _LOCAL_HEADER_BYTES or not header.startswith(SIGNATURE):
        raise MalformedInput("an entry of the zip file has no local header")
    # The local header ends with the lengths of the file name and of the extra field.
    name_bytes = int.from_bytes(header[26:28], "little")
    extra_bytes = int.from_bytes(header[28:30], "little")
    offset = entry.header_offset + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes
    if offset + entry.compress_size > archive.size:
        raise MalformedInput("an entry of the zip file is truncated")
    return Piece(
        position=position,
        start=start + offset,
        stored=entry.compress_size,
        size=entry.file_size,
        deflated=entry.compress_type == zipfile.ZIP_DEFLATED,
        crc=entry.CRC,
        media_type=UNKNOWN,
        label=label,
    )


def _head(file: IO[bytes], piece: Piece) -> bytes:
    """Return the first bytes of a piece.

    They are empty if the piece cannot be inflated; its item will then fail with the reason.
    """
    file.seek(piece.start)
    raw = file.read(min(piece.stored, 4 * _HEAD_BYTES))
    if not piece.deflated:
        return raw[:_HEAD_BYTES]
    try:
        return inflate(io.BytesIO(raw), len(raw), _HEAD_BYTES)
    except MalformedInput:
        return b""


def _check_overlap(pieces: Iterable[Piece]) -> None:
    """Refuse entries that share bytes: so does a small zip bomb that unpacks to a huge file."""
    end = 0
    for piece in sorted(pieces, key=lambda piece: piece.start):
        if piece.start < end:
            raise MalformedInput("entries of the zip file overlap")
        end = piece.start + piece.stored
