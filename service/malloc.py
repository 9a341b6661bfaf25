"""Memory allocator: return freed memory to the operating system.

The C library keeps freed pages for later use, in one arena for each thread. A service that loads
a version in one thread and frees it in another would therefore grow with every swap (after 100
swaps by 9 % with an arena for each thread, by less than 1 % with two arenas).
"""

import ctypes
import gc
import sys

_M_ARENA_MAX = -8
_ARENAS = 2


def share_arenas() -> None:
    """Let all threads allocate from two arenas; must be called before other threads start."""
    _c_library("mallopt", _M_ARENA_MAX, _ARENAS)


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
