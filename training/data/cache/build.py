"""Build a cache: rows that take part -> chunks, in parallel -> one memory map, in place.

    readers --licence, view, report--> rows --chunks of some MB--> processes --> chunk files
    all chunks there --moved one by one to their place--> images.npy, masks.npy, rows.jsonl

Whatever ends the build, killing it included, the same call goes on: a chunk that is done is not
done again. Memory holds some chunks for each process, whatever the number of images, and the names
of the rows; the disk holds each image once: a chunk's file goes when its pixels are in place. A
chunk with files that were missing or broken is tried again, for they may have come since.
"""

import csv
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from radiograph.preprocess import PreprocessSpec
from training.config.run import PairsConfig
from training.data.cache import worker_pool
from training.data.cache.render import RECORD, Chunk, ChunkRecord, LeftOut, reader_of, write_whole
from training.data.cache.sample_index import write_samples
from training.data.catalog import open_reader
from training.data.rows.dataset_files import DataError
from training.data.rows.reader import Row
from training.progress import track

MANIFEST = "left_out.csv"
_CHUNK_BYTES = 2**23
_PLACING, _CHUNKS = "placing", "chunks"


@dataclass
class _Selection:
    """What the rows come to as they are read: chunks that were handed out, rows left out."""

    folder: Path
    chunks: int = 0
    left_out: list[LeftOut] = field(default_factory=list)


@dataclass
class _Summary:
    """What became of the chunks, without the samples themselves.

    Attributes:
        left_out: rows that are not in the cache.
        kept, with_masks: radiographs of each chunk.
        masked: of each radiograph, whether it has masks.
    """

    left_out: list[LeftOut]
    kept: list[int] = field(default_factory=list)
    with_masks: list[int] = field(default_factory=list)
    masked: list[bool] = field(default_factory=list)

    def add(self, record: ChunkRecord) -> None:
        self.left_out.extend(record.left_out)
        self.kept.append(len(record.samples))
        self.with_masks.append(sum(record.masked))
        self.masked.extend(record.masked)


class _Stale(Exception):
    """Chunks that are already in place are of other rows than now."""


def build(config: PairsConfig, spec: PreprocessSpec, partial: Path, workers: int) -> None:
    """Bring `partial` to a whole cache, going on from what is there.

    Args:
        config: which rows.
        spec: the preprocessing.
        partial: folder of this cache alone.
        workers: processes; 0 renders in this one.

    Raises:
        DataError: no row is left; the manifest in `partial` tells why.
    """
    reader_of.cache_clear()  # an archive may have changed since
    try:
        selection = _render(config, spec, partial, workers)
    except _Stale:
        shutil.rmtree(partial)
        selection = _render(config, spec, partial, workers)
    summary = _Summary(selection.left_out)
    for record in _records(partial, selection.chunks):
        summary.add(record)
    _write_manifest(partial / MANIFEST, summary.left_out)
    reasons = dict(Counter(item.reason for item in summary.left_out).most_common())
    if not summary.masked:
        raise DataError(
            f"no radiograph was selected; left out: {reasons}; see {partial / MANIFEST}"
        )
    _assemble(partial, summary, spec)
    samples = (sample for r in _records(partial, selection.chunks) for sample in r.samples)
    write_samples(partial, samples)
    (partial / "rows.json").write_text(json.dumps({"left_out": reasons}))


def tidy(folder: Path) -> None:
    """Remove what only the build needed. A cache is whole with it and without."""
    shutil.rmtree(folder / _CHUNKS, ignore_errors=True)
    (folder / _PLACING).unlink(missing_ok=True)


def _render(config: PairsConfig, spec: PreprocessSpec, partial: Path, workers: int) -> _Selection:
    (partial / _CHUNKS).mkdir(parents=True, exist_ok=True)
    selection = _Selection(partial / _CHUNKS)
    todo = _undone(_chunks(config, spec, selection), partial)
    for _ in track(worker_pool.render_all(todo, workers), "chunks cached"):
        pass
    return selection


def _chunks(config: PairsConfig, spec: PreprocessSpec, selection: _Selection) -> Iterator[Chunk]:
    """Chunks of the rows that take part; the others are noted in the selection."""
    size = max(8, _CHUNK_BYTES // spec.size_px**2)
    rows: list[Row] = []
    for row in _selected(config, selection.left_out):
        rows.append(row)
        if len(rows) == size:
            yield _next(rows, config, spec, selection)
            rows = []
    if rows:
        yield _next(rows, config, spec, selection)


def _next(
    rows: list[Row], config: PairsConfig, spec: PreprocessSpec, selection: _Selection
) -> Chunk:
    selection.chunks += 1
    number, folder = selection.chunks - 1, selection.folder
    return Chunk(number, tuple(rows), config.root, spec, folder, config.protocol)


def _selected(config: PairsConfig, left_out: list[LeftOut]) -> Iterator[Row]:
    for name in config.tables:
        seen: set[tuple[str, str]] = set()
        for row in open_reader(config.root, name, config.protocol).rows():
            reason = _reason(row, config, seen)
            if reason:
                left_out.append(LeftOut(row.table, row.image, reason))
            else:
                seen.add(_once(row, config))
                yield row


def _once(row: Row, config: PairsConfig) -> tuple[str, str]:
    """What may be there once: an image, or under a published protocol an image of a split."""
    return row.image, "" if config.protocol == "sound" else row.split


def _reason(row: Row, config: PairsConfig, seen: set[tuple[str, str]]) -> str:
    if row.licence_class not in config.licences:
        return f"licence class {row.licence_class}"
    return row.reason_left_out or ("listed twice" if _once(row, config) in seen else "")


def _undone(chunks: Iterator[Chunk], partial: Path) -> Iterator[Chunk]:
    """The chunks that are still to be rendered.

    Raises:
        _Stale: other rows than these are already in place.
    """
    placing = (partial / _PLACING).exists()
    for chunk in chunks:
        record = _former(chunk.path("json"))
        if placing and (record is None or record.digest != chunk.digest()):
            raise _Stale
        if not placing and not (record and _is_done(chunk, record)):
            yield chunk


def _former(path: Path) -> ChunkRecord | None:
    """The record that an interrupted build left, if it left a whole one."""
    try:
        return RECORD.validate_json(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _is_done(chunk: Chunk, record: ChunkRecord) -> bool:
    whole = chunk.path("images.npy").is_file() or not record.samples
    return whole and record.digest == chunk.digest() and not any(x.of_file for x in record.left_out)


def _records(partial: Path, chunks: int) -> Iterator[ChunkRecord]:
    for number in range(chunks):
        yield RECORD.validate_json((partial / _CHUNKS / f"{number:06d}.json").read_bytes())


def _write_manifest(path: Path, left_out: list[LeftOut]) -> None:
    """`left_out.csv`: one line for each row that is not in the cache."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("table", "image", "reason", "detail"))
        writer.writerows((x.table, x.image, x.reason, x.detail) for x in left_out)


def _assemble(partial: Path, summary: _Summary, spec: PreprocessSpec) -> None:
    """Move every chunk to its place; again after a kill, from where it was."""
    write_whole(partial / _PLACING, b"")
    _place_all(partial, "images", summary.kept, spec.size_px)
    if any(summary.masked):
        _place_all(partial, "masks", summary.with_masks, spec.size_px)
        slots = np.where(summary.masked, np.cumsum(summary.masked) - 1, -1)
        np.save(partial / "mask_slots.npy", slots.astype(np.int64))


def _place_all(partial: Path, name: str, counts: list[int], size_px: int) -> None:
    """Write the chunks of one kind into `<name>.npy`.

    A chunk's file goes only after its pixels are on the disk, so that one of the two has them.
    They are written and not mapped: a full disk is then an error, not the end of the process.
    """
    path = partial / f"{name}.npy"
    if not path.is_file():
        _reserve(path, (sum(counts), size_px, size_px))
    at = int(np.lib.format.open_memmap(path, mode="r").offset)
    with path.open("r+b") as file:
        for number, count in enumerate(track(counts, f"{name} put in place")):
            chunk = partial / _CHUNKS / f"{number:06d}.{name}.npy"
            if chunk.is_file():
                file.seek(at)
                file.write(np.load(chunk, allow_pickle=False).tobytes())
                file.flush()
                os.fsync(file.fileno())
                chunk.unlink()
            at += count * size_px**2


def _reserve(path: Path, shape: tuple[int, ...]) -> None:
    """An array of which only the header is on the disk."""
    partial = path.with_name(f".{path.name}")
    np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape).flush()
    partial.rename(path)
