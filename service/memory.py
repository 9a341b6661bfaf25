"""Memory: what was freed goes back to the system.

The C library keeps freed pages for later, in an arena for each thread; a service that loads a
version in one thread and frees it in another would grow with every swap.
"""

import ctypes
import gc
import sys


def give_back() -> None:
    """Return freed pages to the system, where the C library can (glibc). Takes milliseconds."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
