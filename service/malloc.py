"""Memory: what was freed goes back to the system.

The C library keeps freed pages for later, in an arena for each thread; a service that loads a
version in one thread and frees it in another would grow with every swap (100 swaps: 9 % with
an arena for each thread, under 1 % with two).
"""

import ctypes
import gc
import sys

_M_ARENA_MAX = -8
_ARENAS = 2


def share_arenas() -> None:
    """Let all threads allocate from two arenas; to be called before there are any."""
    _c_library("mallopt", _M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Return freed pages to the system. Takes milliseconds."""
    gc.collect()
    _c_library("malloc_trim", 0)


def _c_library(function: str, *arguments: int) -> None:
    """Call a function of the C library where it has it (glibc)."""
    if sys.platform == "linux":
        found = getattr(ctypes.CDLL(None), function, None)
        if found is not None:
            found(*arguments)
