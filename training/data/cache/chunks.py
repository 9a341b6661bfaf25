"""Chunks: rows that one process renders together, and the files that hold the result.

    chunk of rows -> <folder>/000012.images.npy   the kept rows, in order
                     <folder>/000012.masks.npy    planes of those that have masks
                     <folder>/000012.json         a `ChunkRecord`, written last

A chunk is done when its .json exists: each file is complete or absent.
"""

import hashlib
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from radiograph.preprocess import PreprocessSpec
from training.atomic_write import write_atomically
from training.config.run import Protocol
from training.data.annotations.masks import structures_of
from training.data.cache.render import LeftOut, Rendered, render
from training.data.cache.sample_index import Sample
from training.data.catalog import open_reader
from training.data.rows.reader import Reader, Row

cached_reader = cache(open_reader)
"""Open the reader of a data set once in each process: it may hold an archive open."""


@dataclass(frozen=True)
class Chunk:
    """Rows that are rendered together.

    Attributes:
        number: index of the chunk, from 0.
        rows: the rows, of one or more data sets.
        root: folder of the data sets.
        spec: preprocessing.
        folder: folder of the files of the chunk.
        protocol: protocol of the readers.
    """

    number: int
    rows: tuple[Row, ...]
    root: Path
    spec: PreprocessSpec
    folder: Path
    protocol: Protocol = "sound"

    @property
    def structures(self) -> tuple[str, ...]:
        """Structures of the planes of this chunk."""
        return structures_of(self.rows)

    def reader(self, row: Row) -> Reader:
        """Return the reader of the data set of a row."""
        return cached_reader(self.root, row.table, self.protocol)

    def path(self, suffix: str) -> Path:
        """Return `<folder>/<number>.<suffix>`."""
        return chunk_path(self.folder, self.number, suffix)

    def digest(self) -> str:
        """Return a digest of the rows, which tells files of the same number but other rows."""
        return hashlib.sha256(json.dumps([asdict(row) for row in self.rows]).encode()).hexdigest()


@dataclass(frozen=True)
class ChunkRecord:
    """Result of a chunk.

    Attributes:
        digest: digest of its rows.
        samples: the kept rows, in order.
        masked: for each sample, True if it has planes.
        structures: structures of the planes.
        left_out: the other rows.
    """

    digest: str
    samples: tuple[Sample, ...]
    masked: tuple[bool, ...]
    structures: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


RECORD = TypeAdapter(ChunkRecord)
"""JSON form of a `ChunkRecord`."""


def chunk_path(folder: Path, number: int, suffix: str) -> Path:
    """Return the path of a file of a chunk."""
    return folder / f"{number:06d}.{suffix}"


def render_row(chunk: Chunk, index: int) -> None:
    """Render one row and discard the result, to find out whether it ends the process."""
    row = chunk.rows[index]
    render(chunk.reader(row), row, chunk.spec, chunk.structures)


def render_chunk(chunk: Chunk, skipped: frozenset[int] = frozenset()) -> None:
    """Render a chunk and write its files.

    Args:
        chunk: the rows and their folder.
        skipped: indices of rows that ended a process and are left out.
    """
    done: list[Rendered | LeftOut] = []
    structures = chunk.structures
    for index, row in enumerate(chunk.rows):
        if index in skipped:
            done.append(LeftOut(row.table, row.image, "ended the process", of_file=True))
        else:
            done.append(render(chunk.reader(row), row, chunk.spec, structures))
    kept = [item for item in done if isinstance(item, Rendered)]
    _write_array(chunk.path("images.npy"), [item.pixels for item in kept])
    masks = [item.planes for item in kept if item.planes is not None]
    _write_array(chunk.path("masks.npy"), masks)
    record = ChunkRecord(
        chunk.digest(),
        tuple(item.sample for item in kept),
        tuple(item.planes is not None for item in kept),
        structures,
        tuple(item for item in done if isinstance(item, LeftOut)),
    )
    write_atomically(chunk.path("json"), RECORD.dump_json(record))


def _write_array(path: Path, arrays: Iterable[NDArray[np.uint8]]) -> None:
    """Write all arrays as one, or remove the file if there are none."""
    stack = list(arrays)
    path.unlink(missing_ok=True)
    if stack:
        content = io.BytesIO()
        np.save(content, np.stack(stack))
        write_atomically(path, content.getbuffer())
