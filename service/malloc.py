"""Memory allocator: how much freed memory a process keeps, and how many arenas it has.

The C library keeps freed pages for later use, in one arena for each thread. A service that loads
a version in one thread and frees it in another would therefore grow with every swap (after 100
swaps by 9 % with an arena for each thread, by less than 1 % with two arenas).

A decoder process does the same work again and again. By default the C library returns the pages of
one image to the operating system, which has to clear them before it gives them out for the next:
decoding a file of 5 MP took 51 ms of CPU time with 8,800 page faults, and takes 21 ms without.
"""

import ctypes
import gc
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_ARENAS = 2
_MAX_MMAP_THRESHOLD = 32 * 1024 * 1024
"""Largest value that every version of glibc accepts."""


def share_arenas() -> None:
    """Let all threads allocate from two arenas; must be called before other threads start."""
    _c_library("mallopt", _M_ARENA_MAX, _ARENAS)


def keep_freed(size: int) -> None:
    """Keep up to `size` freed bytes at the end of the heap for the next allocations.

    Blocks of more than 32 MiB are still returned as soon as they are freed.
    """
    _c_library("mallopt", _M_MMAP_THRESHOLD, min(size, _MAX_MMAP_THRESHOLD))
    _c_library("mallopt", _M_TRIM_THRESHOLD, size)


def give_back() -> None:
    """Return freed pages to the operating system. Takes milliseconds."""
    gc.collect()
    _c_library("malloc_trim", 0)


def _c_library(function: str, *arguments: int) -> None:
    """Call a function of the C library if it has that function (glibc)."""
    if sys.platform == "linux":
        found = getattr(ctypes.CDLL(None), function, None)
        if found is not None:
            found(*arguments)
