"""A renderer that ends its process, in a module that another process can import."""

import os

from training.data.cache.chunks import Chunk


def render(chunk: Chunk, index: int) -> None:
    """End the process at row 1."""
    del chunk
    if index == 1:
        os._exit(11)
