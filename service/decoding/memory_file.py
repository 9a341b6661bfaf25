"""Memory file that the service and one decoder process share.

A memory file (memfd) has no name in /dev/shm that could be left behind. It is written, read and
reused, so that neither a file nor an image passes through a pickle or a socket.
"""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray


class MemoryFile:
    """Anonymous file in memory.

    Args:
        descriptor: an open file descriptor, which the object owns; None makes a new file.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        made = os.memfd_create("g2d-decoder") if descriptor is None else descriptor
        self._descriptor = made

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._descriptor

    def write(self, data: memoryview | bytes, offset: int = 0) -> None:
        """Write bytes at an offset; the file grows as needed."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            view, offset = view[written:], offset + written

    def write_array(self, values: NDArray[Any], offset: int) -> int:
        """Write an array in C order at an offset, and return the offset of its end."""
        contiguous = np.ascontiguousarray(values)
        self.write(contiguous.reshape(-1).view(np.uint8).data, offset)
        return offset + contiguous.nbytes

    def read(self, size: int) -> bytes:
        """Return the first bytes of the file; fewer than `size` if the file is shorter."""
        return os.pread(self._descriptor, size, 0)

    def read_array(
        self, shape: tuple[int, ...], dtype: type[np.generic], offset: int
    ) -> NDArray[Any]:
        """Return a copy of an array in C order that starts at an offset.

        Raises:
            EOFError: the file ends before the array does.
        """
        values = np.empty(shape, dtype)
        view = values.reshape(-1).view(np.uint8).data
        if os.preadv(self._descriptor, [view], offset) != values.nbytes:
            raise EOFError(f"the memory file ends before an array of {values.nbytes} bytes")
        return values

    def shrink(self, size: int) -> None:
        """Release the memory beyond a size."""
        if os.fstat(self._descriptor).st_size > size:
            os.ftruncate(self._descriptor, size)

    def close(self) -> None:
        """Close the file descriptor; the memory is freed once no process has it open."""
        os.close(self._descriptor)
