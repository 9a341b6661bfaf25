"""A part of a file that reads like a file of its own."""

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from radiograph.errors import InputTooLarge


class FileSlice(io.RawIOBase):
    """A read-only view of `size` bytes of a file from `start` on.

    Args:
        file: seekable file, open for reading.
        start: offset of the first byte of the view.
        size: number of bytes in the view.
    """

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        super().__init__()
        self.size = size
        self._file = file
        self._start = start
        self._position = 0
        self._max_read: int | None = None

    @contextmanager
    def reads_at_most(self, size: int) -> Iterator[None]:
        """Refuse longer reads within the context, so that clients cannot choose their size."""
        self._max_read = size
        try:
            yield
        finally:
            self._max_read = None

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position of the next read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Change the position of the next read and return it.

        Raises:
            OSError: the position would be negative; `zipfile` expects the error of a real file.
        """
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if origin + offset < 0:
            raise OSError(errno.EINVAL, "negative seek position")
        self._position = origin + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Read up to `size` bytes, or everything that is left if `size` is None or negative.

        Raises:
            InputTooLarge: more bytes than `reads_at_most` allows.
        """
        left = max(0, self.size - self._position)
        count = left if size is None or size < 0 else min(size, left)
        if self._max_read is not None and count > self._max_read:
            raise InputTooLarge("the directory of the zip file is too large")
        self._file.seek(self._start + self._position)
        data = self._file.read(count)
        self._position += len(data)
        return data
