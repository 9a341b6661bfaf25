"""Shared memory with a Triton on the same host: arrays go there and back without a copy by wire.

    Regions.borrow(size) -> Region (registered with Triton) -> inputs | outputs -> given back

A region is registered once and used again by whoever comes next. A Triton that started anew
knows none of them; `forget` has them registered again.
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
"""Regions kept for later; as many as calls run at one time are enough."""
ASIDE_S = 60.0
"""After a failed call, a region rests so long before it goes."""


class Region:
    """One piece of shared memory and the name that Triton knows it by.

    Args:
        size: bytes, at least.
    """

    def __init__(self, size: int) -> None:
        self.name = f"g2d-{secrets.token_hex(8)}"
        self._memory = SharedMemory(self.name, create=True, size=-(-size // _PAGE) * _PAGE)
        self.size = self._memory.size
        self.generation = -1
        """Of the Triton that it is registered with."""

    def write(self, offset: int, value: NDArray[Any]) -> None:
        """Put an array there."""
        self._array(offset, value.shape, value.dtype)[...] = value

    def read(self, offset: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """A copy of float32 values that lie there."""
        return self._array(offset, shape, np.dtype(np.float32)).copy()

    def free(self) -> None:
        """Take it away from this process and from the system."""
        with contextlib.suppress(FileNotFoundError):
            self._memory.close()
            self._memory.unlink()

    def _array(self, offset: int, shape: tuple[int, ...], kind: np.dtype[Any]) -> NDArray[Any]:
        return np.ndarray(shape, kind, self._memory.buf, offset)


class Regions:
    """Regions that are lent out one call at a time. Safe to call from threads.

    Args:
        register: tells Triton of a region; raises when it cannot.
        unregister: has Triton let go of one; does not raise.
    """

    def __init__(
        self, register: Callable[[Region], None], unregister: Callable[[Region], None]
    ) -> None:
        self._register = register
        self._unregister = unregister
        self._idle: list[Region] = []
        self._aside: deque[tuple[float, Region]] = deque()
        self._generation = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def borrow(self, size: int) -> Iterator[Region]:
        """A registered region of at least so many bytes."""
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
            self._set_aside(region)
            raise
        self._give_back(region)

    def forget(self) -> None:
        """Triton may have started anew: register each region again before its next use."""
        self._generation += 1

    def close(self) -> None:
        """Free every region that is not lent out."""
        with self._lock:
            regions = [*self._idle, *(region for _, region in self._aside)]
            self._idle, self._aside = [], deque()
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

    def _set_aside(self, region: Region) -> None:
        """Triton may still write to what it has not answered: nobody gets it, or frees it, yet."""
        now, old = time.monotonic(), []
        with self._lock:
            self._aside.append((now, region))
            while self._aside and self._aside[0][0] < now - ASIDE_S:
                old.append(self._aside.popleft()[1])
        for region in old:
            self._drop(region)

    def _drop(self, region: Region) -> None:
        self._unregister(region)
        region.free()


def layout(sizes: list[int]) -> tuple[list[int], int]:
    """Where arrays of so many bytes lie one after another, and the bytes of all."""
    offsets, end = [], 0
    for size in sizes:
        offsets.append(end)
        end += -(-size // _ALIGNMENT) * _ALIGNMENT
    return offsets, end
