"""Samples of a cache: everything known of each radiograph, read from disk on demand.

    rows.jsonl    one `Sample` a line        rows_end.npy   where each line ends, int64

A list of several hundred thousand objects with their reports would cost gigabytes once the
processes of a data loader have touched it; a memory map is shared by all of them.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from pydantic import TypeAdapter

from radiograph.geometry.geometry import Box
from training.atomic_write import write_atomically
from training.data.rows.reader import Row


@dataclass(frozen=True)
class Sample:
    """One cached radiograph.

    Attributes:
        row: the row of the data set.
        known: structures whose mask is annotated, even if it is empty.
        boxes: (name, box on the grid).
    """

    row: Row
    known: frozenset[str]
    boxes: tuple[tuple[str, Box], ...]


_SAMPLE = TypeAdapter(Sample)


def write_samples(folder: Path, samples: Iterable[Sample]) -> None:
    """Write `rows.jsonl` and `rows_end.npy`."""
    ends, at = [], 0
    with (folder / "rows.jsonl").open("wb") as file:
        for sample in samples:
            at += file.write(_SAMPLE.dump_json(sample) + b"\n")
            ends.append(at)
    content = io.BytesIO()
    np.save(content, np.array(ends, dtype=np.int64))
    write_atomically(folder / "rows_end.npy", content.getbuffer())


class Samples(Sequence[Sample]):
    """Sequence of the samples of a cache, in its order."""

    def __init__(self, folder: Path) -> None:
        """Open the files that `write_samples` wrote.

        Raises:
            ValueError: a file is cut off.
        """
        self._lines = np.memmap(folder / "rows.jsonl", dtype=np.uint8, mode="r")
        self._ends = np.load(folder / "rows_end.npy", mmap_mode="r", allow_pickle=False)
        if len(self._ends) and self._ends[-1] != len(self._lines):
            raise ValueError(f"{folder / 'rows.jsonl'} is cut off, or was changed")

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = range(len(self))[index]  # resolves negative indices and raises IndexError
        start = self._ends[number - 1] if number else 0
        return _SAMPLE.validate_json(self._lines[start : self._ends[number]].tobytes())
