"""Files of a data set on disk: where it lies, its tables, and paths that may not leave it.

root/<name>/...  or  root/...     `locate`: the folder of a data set
a.csv, a.csv.gz                   `table`, `records`: one dict a line
a path out of a table             `inside`: never out of the folder
"""

import csv
import gzip
import hashlib
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TextIO, cast

_FIELD_LIMIT = 4 * 2**20


class MissingData(FileNotFoundError):
    """A file that a data set cannot do without is not there; the message says where to get it."""


class DataError(OSError):
    """A data set is there, but is not what it should be."""


class PathRefused(OSError):
    """A path in a table leads out of the data set."""


class AnnotationRefused(OSError):
    """What is drawn on an image cannot be there; the message is the reason, without values."""


def locate(root: Path, name: str) -> Path:
    """`<root>/<name>` where that is a folder, else `root`: data sets may share a root or not."""
    return root / name if (root / name).is_dir() else root


def table(folder: Path, name: str, source: str) -> Path:
    """The path of `<name>` or `<name>.gz`.

    Raises:
        MissingData: neither is there; the message gives `source`, where it comes from.
    """
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise MissingData(f"no {name} (nor {name}.gz) in {folder}. It comes from {source}")


def require(folder: Path, parts: Sequence[tuple[str, ...]], source: str) -> None:
    """Check that a data set is whole, and name everything that is not there at once.

    Args:
        folder: of the data set.
        parts: each the names that it may have; one ending in `/` is a folder, others are files,
            also gzipped.
        source: where they come from.

    Raises:
        MissingData: parts are missing.
    """
    missing = [names for names in parts if not any(is_there(folder, name) for name in names)]
    if missing:
        told = "; ".join(" or ".join(names) for names in missing)
        raise MissingData(f"missing in {folder}: {told}. It comes from {source}")


def is_there(folder: Path, name: str) -> bool:
    """Whether a file, gzipped or not, or a folder (`name/`) is there."""
    if name.endswith("/"):
        return (folder / name).is_dir()
    return (folder / name).is_file() or (folder / f"{name}.gz").is_file()


def required_folder(folder: Path, name: str, source: str) -> Path:
    """The path of a folder.

    Raises:
        MissingData: it is not there; the message gives `source`, where it comes from.
    """
    if not (folder / name).is_dir():
        raise MissingData(f"no folder {name}/ in {folder}. It comes from {source}")
    return folder / name


def records(path: Path, needed: Sequence[str], *, strip: bool = True) -> Iterator[dict[str, str]]:
    """The lines of a CSV, gzipped or not; fields that are missing are empty.

    Args:
        path: of the CSV.
        needed: names of columns, without the spaces around them.
        strip: take away the spaces around fields.

    Fields are UTF-8, with or without a byte order mark; one that is not is read as Windows-1252.

    Raises:
        DataError: a needed column is missing, or the file breaks off or is no CSV.
    """
    csv.field_size_limit(_FIELD_LIMIT)
    reader: csv.DictReader[str] | None = None
    try:
        with _open(path) as file:
            reader = csv.DictReader(file)
            names = {key: key.strip() for key in reader.fieldnames or ()}
            _check_columns(path, tuple(names.values()), needed)
            for line in reader:
                yield {names[key]: _text(line[key], strip) for key in names}
    except (csv.Error, EOFError, gzip.BadGzipFile, zlib.error) as error:
        line_number = reader.line_num if reader else 0
        raise DataError(f"{path} cannot be read after line {line_number}: {error}") from error


def lines(path: Path) -> Iterator[str]:
    """The lines of a text file, gzipped or not, without blank ones.

    Raises:
        DataError: the file breaks off.
    """
    try:
        with _open(path) as file:
            for line in file:
                if text := _text(line, strip=True):
                    yield text
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _open(path: Path) -> TextIO:
    encoding, errors = "utf-8-sig", "surrogateescape"
    if path.suffix == ".gz":
        # with mode "rt" it is a text file
        return cast(TextIO, gzip.open(path, "rt", encoding=encoding, errors=errors, newline=""))
    return path.open(newline="", encoding=encoding, errors=errors)


def _check_columns(path: Path, present: Sequence[str], needed: Sequence[str]) -> None:
    if missing := [name for name in needed if name not in present]:
        names = ", ".join(missing)
        raise DataError(f"{path} has no column {names}; its columns are: {', '.join(present)}")


def _text(value: str | None, strip: bool) -> str:
    """A field; bytes that are no UTF-8 read as Windows-1252."""
    if value is None:  # the line was too short
        return ""
    if not value.isascii() and any("\udc80" <= letter <= "\udcff" for letter in value):
        value = decode(value.encode("utf-8", "surrogateescape"))
    return value.strip() if strip else value


def decode(data: bytes) -> str:
    """Text of unknown encoding: UTF-8 if it is valid, else Windows-1252. Never fails."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def inside(folder: Path, path: str) -> Path:
    """`<folder>/<path>` for a path that a table gives.

    Symbolic links are followed: a data set is often linked together from several disks, and
    they are made by its owner, unlike what stands in a table.

    Raises:
        PathRefused: it is absolute, empty, has a part `..` or a character that no path has.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path:
        raise PathRefused("the path leads out of the data set")
    return folder.joinpath(*parts)


def digest(path: Path) -> bytes:
    """SHA-256 of one file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
