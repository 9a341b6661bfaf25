"""Window: a part of a file that reads like a file of its own."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from radiograph.errors import InputTooLarge


class Window(io.RawIOBase):
    """Reads `size` bytes of a file from `start` on, and never more at a time than allowed."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        super().__init__()
        self.size = size
        self._file = file
        self._start = start
        self._at = 0
        self._most: int | None = None

    @contextmanager
    def reads_at_most(self, size: int) -> Iterator[None]:
        """Refuse longer reads within it, so that no parser takes memory that a client chose."""
        self._most = size
        try:
            yield
        finally:
            self._most = None

    def seekable(self) -> bool:
        """Always."""
        return True

    def readable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; before the beginning is an error, as for a file.

        Raises:
            ValueError: before the beginning.
        """
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        if origin + offset < 0:
            raise ValueError("before the beginning of the file")
        self._at = origin + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes, all that is left where it is negative.

        Raises:
            InputTooLarge: more than `reads_at_most` allows.
        """
        left = max(0, self.size - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        if self._most is not None and wanted > self._most:
            raise InputTooLarge("the zip file has too large a directory")
        self._file.seek(self._start + self._at)
        data = self._file.read(wanted)
        self._at += len(data)
        return data
