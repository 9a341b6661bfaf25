"""Assemble the files of all chunks into one array, in place and resumable.

    000000.images.npy, 000001.images.npy, ...  --moved one by one-->  images.npy
    000000.masks.npy, ...                                             masks.npy, mask_slots.npy

A chunk's file is removed only after its pixels are on the disk, so that at every moment one of the
two holds them, and the disk holds each image once.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from training.data.cache.atomic_write import write_atomically
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
        with_masks: number of radiographs with mask bits of each chunk.
        masked: for each radiograph, True if it has mask bits.
    """

    kept: list[int] = field(default_factory=list)
    with_masks: list[int] = field(default_factory=list)
    masked: list[bool] = field(default_factory=list)

    def add(self, record: ChunkRecord) -> None:
        """Count one more chunk."""
        self.kept.append(len(record.samples))
        self.with_masks.append(sum(record.masked))
        self.masked.extend(record.masked)


def assemble(folder: Path, counts: ChunkCounts, size_px: int) -> None:
    """Move every chunk to its place; after a kill, continue where it stopped."""
    write_atomically(folder / PLACING, b"")
    _place_all(folder, "images", counts.kept, size_px)
    if any(counts.masked):
        _place_all(folder, "masks", counts.with_masks, size_px)
        # The n-th radiograph with masks has slot n; -1 stands for no masks.
        slots = np.where(counts.masked, np.cumsum(counts.masked) - 1, -1)
        np.save(folder / "mask_slots.npy", slots.astype(np.int64))


def _place_all(folder: Path, name: str, counts: Sequence[int], size_px: int) -> None:
    """Write the chunks of one kind into `<name>.npy`.

    The pixels are written, not memory-mapped: a full disk is then an error that can be handled,
    not the end of the process.
    """
    path = folder / f"{name}.npy"
    if not path.is_file():
        _reserve(path, (sum(counts), size_px, size_px))
    at = int(np.lib.format.open_memmap(path, mode="r").offset)  # bytes of the header
    with path.open("r+b") as file:
        for number, count in enumerate(track(counts, f"{name} put in place")):
            chunk = chunk_path(folder / CHUNKS, number, f"{name}.npy")
            if chunk.is_file():
                file.seek(at)
                file.write(np.load(chunk, allow_pickle=False).tobytes())
                file.flush()
                os.fsync(file.fileno())
                chunk.unlink()
            at += count * size_px**2


def _reserve(path: Path, shape: tuple[int, ...]) -> None:
    """Create a sparse array of which only the header is written."""
    partial = path.with_name(f".{path.name}")
    np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape).flush()
    partial.rename(path)
