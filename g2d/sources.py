"""Radiographs as callers hand them in: paths, bytes, open files, or many of them."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from radiograph.errors import InputTooLarge

Source = str | os.PathLike[str] | bytes | BinaryIO
"""One radiograph: a path, the bytes of a file, or a file that is open for reading bytes."""


def one_of(source: "Source | Iterable[Source]") -> Source | None:
    """Return the radiograph if this is one, and None if it is several.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(source, str | os.PathLike | bytes):
        return source
    if hasattr(source, "read"):
        return cast("BinaryIO", source)
    if isinstance(source, Iterable):
        return None
    raise TypeError(
        "a radiograph is a path, bytes or an open file, or an iterable of these, not "
        + type(source).__name__
    )


def read(source: Source, max_bytes: int) -> bytes:
    """Return the bytes of a radiograph; an open file is read from its position.

    Raises:
        InputTooLarge: there are more bytes than allowed; no more than that are read.
        OSError: the file cannot be read.
        TypeError: an open file gives text.
    """
    if isinstance(source, bytes):
        data = source
    elif isinstance(source, str | os.PathLike):
        with open(source, "rb") as file:  # noqa: PTH123 - any kind of path
            data = file.read(max_bytes + 1)
    else:
        data = source.read(max_bytes + 1)
        if not isinstance(data, bytes):  # such as a file that is open for text
            raise TypeError("open the file for reading bytes: open(path, 'rb')")
    if len(data) > max_bytes:
        raise InputTooLarge(f"the file has more than {max_bytes} bytes")
    return data


def kept(source: Source, data: bytes) -> Source:
    """Return what a result keeps to read its radiograph again: a path, or the bytes."""
    return source if isinstance(source, str | os.PathLike) else data


@contextmanager
def named(source: Source) -> Iterator[None]:
    """Add the name of a file, where there is one, as a note to an error about it."""
    try:
        yield
    except Exception as error:
        if isinstance(source, str | os.PathLike):
            error.add_note(f"file: {os.fspath(source)}")
        raise
