"""Rows -> pixels on the model's grid, chunk by chunk, in whichever process.

    row --reader--> bytes --radiograph--> grid in [0, 1] --x 255--> uint8
    chunk of rows -> <folder>/000012.images.npy   the kept ones, in order
                     <folder>/000012.masks.npy    of those that have any
                     <folder>/000012.json         written last: a `ChunkRecord`

A chunk is done when its .json is there: each file appears whole or not at all, under its name.
Nothing here imports torch: a process that renders starts in half a second.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from radiograph.errors import InputError
from radiograph.geometry import Box
from radiograph.limits import as_malformed_input
from radiograph.preprocess import PreprocessSpec, to_grid
from radiograph.readers.read import read as read_radiograph
from training.config.run import Protocol
from training.data.catalog import open_reader
from training.data.rows.dataset_files import AnnotationRefused, PathRefused
from training.data.rows.masks import BOX_SOURCES, mask_bits
from training.data.rows.reader import Reader, Row

reader_of = cache(open_reader)
"""One reader of each data set in a process: it may hold an archive open."""


@dataclass(frozen=True)
class Sample:
    """One cached radiograph.

    Attributes:
        row: what the table says.
        known: the structures whose mask is annotated.
        boxes: (label, box on the grid), for the labels in `BOX_SOURCES`.
    """

    row: Row
    known: frozenset[str]
    boxes: tuple[tuple[str, Box], ...]


@dataclass(frozen=True)
class LeftOut:
    """A row that is not in the cache, and why.

    Attributes:
        reason: short, the same for all of a kind.
        detail: of this one; never a value from the header of an image.
        of_file: whether the file is at fault, so that it may be well another time.
    """

    table: str
    image: str
    reason: str
    detail: str = ""
    of_file: bool = False


@dataclass(frozen=True)
class Rendered:
    """Pixels of one radiograph, size x size uint8, and its mask bits if it has any."""

    sample: Sample
    pixels: NDArray[np.uint8]
    bits: NDArray[np.uint8] | None


@dataclass(frozen=True)
class Chunk:
    """Rows that are rendered together.

    Attributes:
        number: of the chunk, from 0.
        root: of the data sets.
        folder: where the chunk's files go.
        protocol: of the reader.
    """

    number: int
    rows: tuple[Row, ...]
    root: Path
    spec: PreprocessSpec
    folder: Path
    protocol: Protocol = "sound"

    def reader(self, row: Row) -> Reader:
        """Of the data set that a row is of."""
        return reader_of(self.root, row.table, self.protocol)

    def path(self, suffix: str) -> Path:
        """`<folder>/<number>.<suffix>`."""
        return self.folder / f"{self.number:06d}.{suffix}"

    def digest(self) -> str:
        """Of the rows, so that what was rendered of others is not taken for theirs."""
        return hashlib.sha256(json.dumps([asdict(row) for row in self.rows]).encode()).hexdigest()


@dataclass(frozen=True)
class ChunkRecord:
    """What became of a chunk: its kept samples in order, whether each has masks, the others."""

    digest: str
    samples: tuple[Sample, ...]
    masked: tuple[bool, ...]
    left_out: tuple[LeftOut, ...]


RECORD = TypeAdapter(ChunkRecord)


def render(reader: Reader, row: Row, spec: PreprocessSpec) -> Rendered | LeftOut:
    """One row on the grid, or why it cannot be."""
    try:
        data = reader.read(row.image)
        with as_malformed_input("the image cannot be used"):
            radiograph = read_radiograph(data)
            grid, geometry = to_grid(radiograph, spec)
        if not row.view and any(w.startswith("lateral_view") for w in radiograph.warnings):
            return LeftOut(row.table, row.image, "lateral view", "the DICOM header says so")
        bits, known = mask_bits(reader, row, geometry)
    except InputError as error:
        reason = f"unreadable ({type(error).__name__})"
        return LeftOut(row.table, row.image, reason, str(error), of_file=True)
    except OSError as error:
        return LeftOut(row.table, row.image, *_told(error), of_file=True)
    boxes = [(BOX_SOURCES[n], geometry.box_to_grid(b)) for n, b in row.boxes if n in BOX_SOURCES]
    sample = Sample(row, frozenset(known), tuple(boxes))
    return Rendered(sample, (grid * 255 + 0.5).astype(np.uint8), bits if bits.any() else None)


def _told(error: OSError) -> tuple[str, str]:
    """Reason and detail."""
    if isinstance(error, FileNotFoundError):
        return "missing file", ""
    if isinstance(error, PathRefused | AnnotationRefused):
        return str(error), ""
    return f"unreadable ({type(error).__name__})", error.strerror or ""


def render_row(chunk: Chunk, index: int) -> None:
    """Render one row for nothing: what it does to the process is what matters."""
    row = chunk.rows[index]
    render(chunk.reader(row), row, chunk.spec)


def render_chunk(chunk: Chunk, skipped: frozenset[int] = frozenset()) -> None:
    """Render a chunk and write its files.

    Args:
        chunk: the rows and where they go.
        skipped: indices of rows that ended a process, and are not tried again.
    """
    done: list[Rendered | LeftOut] = []
    for index, row in enumerate(chunk.rows):
        if index in skipped:
            done.append(LeftOut(row.table, row.image, "ended the process", of_file=True))
        else:
            done.append(render(chunk.reader(row), row, chunk.spec))
    kept = [item for item in done if isinstance(item, Rendered)]
    _write_array(chunk.path("images.npy"), [item.pixels for item in kept], chunk.spec)
    masks = [item.bits for item in kept if item.bits is not None]
    _write_array(chunk.path("masks.npy"), masks, chunk.spec)
    record = ChunkRecord(
        chunk.digest(),
        tuple(item.sample for item in kept),
        tuple(item.bits is not None for item in kept),
        tuple(item for item in done if isinstance(item, LeftOut)),
    )
    write_whole(chunk.path("json"), RECORD.dump_json(record))


def _write_array(path: Path, arrays: Iterable[NDArray[np.uint8]], spec: PreprocessSpec) -> None:
    """All arrays as one; no file for none."""
    stack = list(arrays)
    path.unlink(missing_ok=True)
    if stack:
        content = io.BytesIO()
        np.save(content, np.stack(stack).reshape(-1, spec.size_px, spec.size_px))
        write_whole(path, content.getbuffer())


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """A file that is there whole or not at all, also after the power went."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
