"""Files of a data set on disk: its folder, its tables, and paths that must stay inside it.

root/<name>/...  or  root/...     `locate`: the folder of a data set
a.csv, a.csv.gz                   `table`, `records`: one dict for each line
a path given by a table           `inside`: refused if it leaves the folder
"""

import codecs
import csv
import gzip
import hashlib
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TextIO, cast

_FIELD_LIMIT = 4 * 2**20
_DELIMITERS = (",", ";", "\t")
"""Separators of fields; the first one with which the header has the required columns is used."""


class MissingData(FileNotFoundError):
    """A required file of a data set is missing; the message says where to get it."""


class DataError(OSError):
    """A data set is present but malformed."""


class PathRefused(OSError):
    """A path given by a table leads out of the data set."""


class AnnotationRefused(OSError):
    """An annotation is impossible for its image; the message gives the reason, without values."""


def locate(root: Path, name: str) -> Path:
    """Return `<root>/<name>` if it is a folder, else `root`, which may hold a single data set."""
    return root / name if (root / name).is_dir() else root


def table(folder: Path, name: str, source: str) -> Path:
    """Return the path of `<name>` or `<name>.gz`.

    Raises:
        MissingData: there is neither; the message gives the `source` of the file.
    """
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise MissingData(f"no {name} (nor {name}.gz) in {folder}. It comes from {source}")


def require(folder: Path, parts: Sequence[tuple[str, ...]], source: str) -> None:
    """Check that a data set is complete.

    Args:
        folder: folder of the data set.
        parts: alternative names of each part; a name that ends in `/` is a folder, any other a
            file, gzipped or not.
        source: where the data set comes from.

    Raises:
        MissingData: parts are missing; the message names all of them.
    """
    missing = [names for names in parts if not any(is_there(folder, name) for name in names)]
    if missing:
        listed = "; ".join(" or ".join(names) for names in missing)
        raise MissingData(f"missing in {folder}: {listed}. It comes from {source}")


def is_there(folder: Path, name: str) -> bool:
    """Return whether a file, gzipped or not, or a folder (`name/`) exists."""
    if name.endswith("/"):
        return (folder / name).is_dir()
    return (folder / name).is_file() or (folder / f"{name}.gz").is_file()


def required_folder(folder: Path, name: str, source: str) -> Path:
    """Return the path of a folder.

    Raises:
        MissingData: there is no such folder; the message gives its `source`.
    """
    if not (folder / name).is_dir():
        raise MissingData(f"no folder {name}/ in {folder}. It comes from {source}")
    return folder / name


def records(path: Path, needed: Sequence[str], *, strip: bool = True) -> Iterator[dict[str, str]]:
    """Yield the lines of a CSV, gzipped or not, as dicts; missing fields are empty.

    Fields are UTF-8, with or without a byte order mark, or UTF-16 with one; a field that is neither
    is read as Windows-1252. They are separated by commas, or else by semicolons or tabs, as
    spreadsheet programs write them.

    Args:
        path: path of the CSV.
        needed: names of required columns, without surrounding spaces.
        strip: remove the spaces around fields.

    Raises:
        DataError: a required column is missing or is there twice, a line has more fields than the
            header, or the file is truncated or is not a CSV.
    """
    csv.field_size_limit(_FIELD_LIMIT)
    reader: csv.DictReader[str] | None = None
    try:
        with _open(path) as file:
            reader = csv.DictReader(file, delimiter=_delimiter(file, needed))
            names = {key: key.strip() for key in reader.fieldnames or ()}
            _check_columns(path, [key.strip() for key in reader.fieldnames or ()], needed)
            for line in reader:
                if any(line.pop(None, ())):  # the key of the surplus
                    raise csv.Error("it has more fields than the header; quote text with commas")
                yield {names[key]: _text(line[key], strip) for key in names}
    except (csv.Error, EOFError, UnicodeError, gzip.BadGzipFile, zlib.error) as error:
        line_number = reader.line_num if reader else 0
        raise DataError(f"{path} cannot be read after line {line_number}: {error}") from error


def lines(path: Path) -> Iterator[str]:
    """Yield the non-blank lines of a text file, gzipped or not.

    Raises:
        DataError: the file is truncated.
    """
    try:
        with _open(path) as file:
            for line in file:
                if text := _text(line, strip=True):
                    yield text
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _delimiter(file: TextIO, needed: Sequence[str]) -> str:
    """Return the separator with which the first line has the needed columns, else a comma."""
    header = file.readline()
    file.seek(0)
    for delimiter in _DELIMITERS:
        names = {name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])}
        if names.issuperset(needed):
            return delimiter
    return _DELIMITERS[0]


def _open(path: Path) -> TextIO:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        start = file.read(2)
    wide = start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    encoding, errors = ("utf-16", "strict") if wide else ("utf-8-sig", "surrogateescape")
    if path.suffix == ".gz":
        # gzip.open is typed as a union; with mode "rt" it returns a text file.
        return cast(TextIO, gzip.open(path, "rt", encoding=encoding, errors=errors, newline=""))
    return path.open(newline="", encoding=encoding, errors=errors)


def _check_columns(path: Path, present: Sequence[str], needed: Sequence[str]) -> None:
    if missing := [name for name in needed if name not in present]:
        names = ", ".join(missing)
        raise DataError(f"{path} has no column {names}; its columns are: {', '.join(present)}")
    if twice := [name for name in dict.fromkeys(present) if name and present.count(name) > 1]:
        raise DataError(f"{path} has the column {twice[0]} twice")


def _text(value: str | None, strip: bool) -> str:
    """Return a field as text; bytes that are not UTF-8 are read as Windows-1252."""
    if value is None:  # the line has fewer fields than the header
        return ""
    if not value.isascii() and any("\udc80" <= letter <= "\udcff" for letter in value):
        value = decode(value.encode("utf-8", "surrogateescape"))
    return value.strip() if strip else value


def decode(data: bytes) -> str:
    """Decode text of unknown encoding: UTF-8 if it is valid, else Windows-1252. Never fails."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def inside(folder: Path, path: str) -> Path:
    """Return `<folder>/<path>` for a path given by a table.

    Symbolic links are followed: data sets are often linked together from several disks, and the
    links are made by the owner of the data, unlike the contents of a table.

    Raises:
        PathRefused: the path is empty or absolute, or contains `..`, a backslash or a NUL.
    """
    parts = PurePosixPath(path).parts
    if "\\" in path and ".." not in path:
        raise PathRefused("the path has a backslash; folders are separated by /")
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path:
        raise PathRefused("the path leads out of the data set")
    return folder.joinpath(*parts)


def digest(path: Path) -> bytes:
    """Return the SHA-256 digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
