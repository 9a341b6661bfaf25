"""Shared memory with a Triton on the same host: arrays do not cross the network.

    RegionPool.borrow(size) -> Region (registered with Triton) -> inputs | outputs -> returned

A region is registered once and reused by later calls. A restarted Triton knows none of them;
`forget` makes the pool register them again.
"""

import contextlib
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PAGE = 4096
_ALIGNMENT = 64
MAX_IDLE = 8
"""Regions kept for later calls; no more are needed than calls that run at the same time."""
QUARANTINE_S = 60.0
"""How long the region of a failed call is kept before it is freed."""


class Region:
    """One region of shared memory, and the name that Triton knows it by.

    Args:
        size: least number of bytes.
    """

    def __init__(self, size: int) -> None:
        self.name = f"g2d-{secrets.token_hex(8)}"
        self._memory = SharedMemory(self.name, create=True, size=-(-size // _PAGE) * _PAGE)
        self.size = self._memory.size
        self.generation = -1
        """Generation of the Triton process that the region is registered with."""

    def write(self, offset: int, value: NDArray[Any]) -> None:
        """Write an array at an offset."""
        self._array(offset, value.shape, value.dtype)[...] = value

    def read(self, offset: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return a copy of the float32 array at an offset."""
        return self._array(offset, shape, np.dtype(np.float32)).copy()

    def free(self) -> None:
        """Unmap the region and remove it from the system."""
        with contextlib.suppress(FileNotFoundError):
            self._memory.close()
            self._memory.unlink()

    def _array(self, offset: int, shape: tuple[int, ...], kind: np.dtype[Any]) -> NDArray[Any]:
        return np.ndarray(shape, kind, self._memory.buf, offset)


class RegionPool:
    """Regions that are lent to one call at a time. Safe to call from threads.

    Args:
        register: makes Triton map a region; raises an error if that fails.
        unregister: makes Triton unmap a region; never raises.
    """

    def __init__(
        self, register: Callable[[Region], None], unregister: Callable[[Region], None]
    ) -> None:
        self._register = register
        self._unregister = unregister
        self._idle: list[Region] = []
        self._quarantined: deque[tuple[float, Region]] = deque()
        self._generation = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def borrow(self, size: int) -> Iterator[Region]:
        """Lend a registered region of at least this many bytes."""
        region = self._take(size)
        try:
            if region.generation != (generation := self._generation):
                self._register(region)
                region.generation = generation
        except BaseException:
            self._drop(region)
            raise
        try:
            yield region
        except BaseException:
            self._quarantine(region)
            raise
        self._give_back(region)

    def forget(self) -> None:
        """Register each region again before its next use, as Triton may have been restarted."""
        self._generation += 1

    def close(self) -> None:
        """Free every region that is not lent."""
        with self._lock:
            regions = [*self._idle, *(region for _, region in self._quarantined)]
            self._idle, self._quarantined = [], deque()
        for region in regions:
            self._drop(region)

    def _take(self, size: int) -> Region:
        with self._lock:
            for region in self._idle:
                if region.size >= size:
                    self._idle.remove(region)
                    return region
        return Region(size)

    def _give_back(self, region: Region) -> None:
        with self._lock:
            self._idle.append(region)
            self._idle.sort(key=lambda other: other.size)
            surplus = self._idle.pop(0) if len(self._idle) > MAX_IDLE else None
        if surplus is not None:
            self._drop(surplus)

    def _quarantine(self, region: Region) -> None:
        """Keep a region for a while: Triton may still write the answer to a failed call into it."""
        now, old = time.monotonic(), []
        with self._lock:
            self._quarantined.append((now, region))
            while self._quarantined and self._quarantined[0][0] < now - QUARANTINE_S:
                old.append(self._quarantined.popleft()[1])
        for region in old:
            self._drop(region)

    def _drop(self, region: Region) -> None:
        self._unregister(region)
        region.free()


def layout(sizes: list[int]) -> tuple[list[int], int]:
    """Return aligned offsets for arrays of these sizes, one after the other, and the total size."""
    offsets, end = [], 0
    for size in sizes:
        offsets.append(end)
        end += -(-size // _ALIGNMENT) * _ALIGNMENT
    return offsets, end
