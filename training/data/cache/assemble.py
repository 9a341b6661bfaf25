"""Assemble the files of all chunks into one array, in place and resumable.

    000000.images.npy, 000001.images.npy, ...  --moved one by one-->  images.npy
    000000.masks.npy, ...                                             masks.npy, mask_slots.npy

A chunk's file is removed only after its pixels are on the disk, so that at every moment one of the
two holds them, and the disk holds each image once.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.atomic_write import write_atomically
from training.data.annotations.mask_planes import plane_count, repack
from training.data.cache.chunks import ChunkRecord, chunk_path
from training.progress import track

CHUNKS = "chunks"
"""Folder of the files of the chunks."""
PLACING = "placing"
"""Marker file: chunks have begun to move to their place."""


@dataclass
class ChunkCounts:
    """Sizes of the chunks, without the samples themselves.

    Attributes:
        kept: number of radiographs of each chunk.
        with_masks: number of radiographs with masks of each chunk.
        masked: for each radiograph, True if it has masks.
        structures: structures of the planes of each chunk.
    """

    kept: list[int] = field(default_factory=list)
    with_masks: list[int] = field(default_factory=list)
    masked: list[bool] = field(default_factory=list)
    structures: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, record: ChunkRecord) -> None:
        """Count one more chunk."""
        self.kept.append(len(record.samples))
        self.with_masks.append(sum(record.masked))
        self.masked.extend(record.masked)
        self.structures.append(record.structures)

    @property
    def all_structures(self) -> tuple[str, ...]:
        """Structures of all chunks, in the order in which they occur."""
        return tuple(dict.fromkeys(name for names in self.structures for name in names))


def assemble(folder: Path, counts: ChunkCounts, size_px: int) -> None:
    """Move every chunk to its place; after a kill, continue where it stopped."""
    write_atomically(folder / PLACING, b"")
    grid = (size_px, size_px)
    _place_all(folder, "images", counts.kept, grid, lambda _, images: images)
    if any(counts.masked):
        structures = counts.all_structures

        def in_order(number: int, planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
            return repack(planes, counts.structures[number], structures)

        _place_all(folder, "masks", counts.with_masks, (plane_count(structures), *grid), in_order)
        # The n-th radiograph with masks has slot n; -1 stands for no masks.
        slots = np.where(counts.masked, np.cumsum(counts.masked) - 1, -1)
        np.save(folder / "mask_slots.npy", slots.astype(np.int64))


def _place_all(
    folder: Path,
    name: str,
    counts: Sequence[int],
    shape: tuple[int, ...],
    convert: Callable[[int, NDArray[np.uint8]], NDArray[np.uint8]],
) -> None:
    """Write the chunks of one kind into `<name>.npy`.

    The pixels are written, not memory-mapped: a full disk is then an error that can be handled,
    not the end of the process.

    Args:
        folder: folder of the cache.
        name: `images` or `masks`.
        counts: number of items of each chunk.
        shape: shape of an item.
        convert: number of a chunk and its items -> the items as they are written.
    """
    path = folder / f"{name}.npy"
    if not path.is_file():
        _reserve(path, (sum(counts), *shape))
    at = int(np.lib.format.open_memmap(path, mode="r").offset)  # bytes of the header
    with path.open("r+b") as file:
        for number, count in enumerate(track(counts, f"{name} put in place")):
            chunk = chunk_path(folder / CHUNKS, number, f"{name}.npy")
            if chunk.is_file():
                file.seek(at)
                file.write(convert(number, np.load(chunk, allow_pickle=False)).tobytes())
                file.flush()
                os.fsync(file.fileno())
                chunk.unlink()
            at += count * math.prod(shape)  # each number is one byte


def _reserve(path: Path, shape: tuple[int, ...]) -> None:
    """Create a sparse array of which only the header is written."""
    partial = path.with_name(f".{path.name}")
    np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape).flush()
    partial.rename(path)
