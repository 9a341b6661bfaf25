"""Build a cache: select rows, render them in chunks in parallel, assemble the chunks.

    readers --licence, view, report--> rows --chunks of some MB--> processes --> files of chunks
    all chunks done --`assemble`--> images.npy, masks.npy, rows.jsonl

However a build ends, even by SIGKILL, the same call continues it: a chunk that is done is not
rendered again, unless it has files that were missing or broken, which may have been repaired since.
Memory holds some chunks for each process and the names of the rows, whatever the number of images.
"""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from radiograph.preprocess import PreprocessSpec
from training.config.run import DataConfig
from training.data.cache import worker_pool
from training.data.cache.assemble import CHUNKS, PLACING, ChunkCounts, assemble
from training.data.cache.chunks import RECORD, Chunk, ChunkRecord, cached_reader, chunk_path
from training.data.cache.render import LeftOut
from training.data.cache.sample_index import write_samples
from training.data.catalog import open_table
from training.data.rows.dataset_files import DataError
from training.data.rows.reader import Row
from training.data.rows.selection import Selection
from training.progress import track

MANIFEST = "left_out.csv"
"""Name of the file that lists every row left out, with its reason."""
_CHUNK_BYTES = 2**23


@dataclass
class _Selection:
    """Number of chunks handed out so far, and the rows left out before rendering."""

    folder: Path
    chunks: int = 0
    left_out: list[LeftOut] = field(default_factory=list)


class _Stale(Exception):
    """Chunks that are already in place hold other rows than the present selection."""


def build(config: DataConfig, spec: PreprocessSpec, partial: Path, workers: int) -> None:
    """Complete the cache in `partial`, starting from what is there.

    Args:
        config: selection of rows.
        spec: preprocessing.
        partial: folder of this cache alone.
        workers: number of processes; 0 renders in this one.

    Raises:
        DataError: no row is left; the manifest in `partial` states the reasons.
    """
    cached_reader.cache_clear()  # an archive may have changed since the last build
    try:
        selection = _render(config, spec, partial, workers)
    except _Stale:
        shutil.rmtree(partial)
        selection = _render(config, spec, partial, workers)
    left_out, counts = selection.left_out, ChunkCounts()
    for record in _records(partial, selection.chunks):
        left_out.extend(record.left_out)
        counts.add(record)
    _write_manifest(partial / MANIFEST, left_out)
    reasons = dict(Counter(item.reason for item in left_out).most_common())
    if not counts.masked:
        raise DataError(
            f"no radiograph was selected; left out: {reasons}; see {partial / MANIFEST}"
        )
    assemble(partial, counts, spec.size_px)
    samples = (sample for r in _records(partial, selection.chunks) for sample in r.samples)
    write_samples(partial, samples)
    (partial / "rows.json").write_text(
        json.dumps({"left_out": reasons, "structures": counts.all_structures})
    )


def tidy(folder: Path) -> None:
    """Remove the files that only the build needed. The cache is complete with and without them."""
    shutil.rmtree(folder / CHUNKS, ignore_errors=True)
    (folder / PLACING).unlink(missing_ok=True)


def _render(config: DataConfig, spec: PreprocessSpec, partial: Path, workers: int) -> _Selection:
    (partial / CHUNKS).mkdir(parents=True, exist_ok=True)
    selection = _Selection(partial / CHUNKS)
    todo = _not_done(_chunks(config, spec, selection), partial)
    for _ in track(worker_pool.render_all(todo, workers), "chunks cached"):
        pass
    return selection


def _chunks(config: DataConfig, spec: PreprocessSpec, selection: _Selection) -> Iterator[Chunk]:
    """Yield chunks of the selected rows; the other rows are recorded in the selection."""
    size = max(8, _CHUNK_BYTES // spec.size_px**2)
    rows: list[Row] = []
    for row in selected_rows(config, selection.left_out):
        rows.append(row)
        if len(rows) == size:
            yield _next(rows, config, spec, selection)
            rows = []
    if rows:
        yield _next(rows, config, spec, selection)


def _next(
    rows: list[Row], config: DataConfig, spec: PreprocessSpec, selection: _Selection
) -> Chunk:
    selection.chunks += 1
    number, folder = selection.chunks - 1, selection.folder
    return Chunk(number, tuple(rows), config.root, spec, folder, config.protocol)


def selected_rows(config: DataConfig, left_out: list[LeftOut]) -> Iterator[Row]:
    """Yield the rows that take part in a run; the others are recorded in `left_out`."""
    for name in config.tables:
        selection = Selection(config)
        for row in open_table(config, name).rows():
            if reason := selection.reason_left_out(row):
                left_out.append(LeftOut(row.table, row.image, reason))
            else:
                yield row


def _not_done(chunks: Iterator[Chunk], partial: Path) -> Iterator[Chunk]:
    """Yield the chunks that are still to be rendered.

    Raises:
        _Stale: other rows than these are already in place.
    """
    placing = (partial / PLACING).exists()
    for chunk in chunks:
        record = _former_record(chunk.path("json"))
        if placing and (record is None or record.digest != chunk.digest()):
            raise _Stale
        if not placing and not (record and _is_done(chunk, record)):
            yield chunk


def _former_record(path: Path) -> ChunkRecord | None:
    """Return the record that an interrupted build left, or None without a valid one."""
    try:
        return RECORD.validate_json(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _is_done(chunk: Chunk, record: ChunkRecord) -> bool:
    complete = chunk.path("images.npy").is_file() or not record.samples
    return (
        complete
        and record.digest == chunk.digest()
        and not any(item.of_file for item in record.left_out)
    )


def _records(partial: Path, chunks: int) -> Iterator[ChunkRecord]:
    for number in range(chunks):
        yield RECORD.validate_json(chunk_path(partial / CHUNKS, number, "json").read_bytes())


def _write_manifest(path: Path, left_out: list[LeftOut]) -> None:
    """Write `left_out.csv`, with one line for each row that is not in the cache."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("table", "image", "reason", "detail"))
        writer.writerows((x.table, x.image, x.reason, x.detail) for x in left_out)
