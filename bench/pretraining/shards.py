"""Rows per second from shards beside the memory map; the plan of `docs/scale.md`, simulated.

    python -m bench.pretraining.shards

Noise images are cached and written as shards in a folder. In each round every way of reading takes
its turn; medians of the rounds are printed, as ratios to the memory map at random. All of the rows
are in the page cache: this measures the readers, not the disk. `first opening` includes the
verification of each shard. litdata's own reader is measured on the same shards.

`--plan` draws the order and the reports of many pairs and processes, without their images.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from litdata import StreamingDataset

from radiograph.preprocess import PreprocessSpec
from training.config.run import DataConfig
from training.data.cache.cache import Cache, Masks
from training.data.cache.sample_index import Sample, Samples, write_samples
from training.data.rows.reader import Row
from training.data.sampling.sampler import MicroBatchIndex, Sampler, Window, window_of
from training.data.shards.open_rows import open_shards
from training.data.shards.write import SHARD_BYTES, write_shards
from training.data.text.synthetic_reports import report

SPEC = PreprocessSpec(size_px=224)
_BATCH = 128


def make_cache(folder: Path, count: int) -> Cache:
    """Write a cache of noise images, since the content does not affect the time."""
    folder.mkdir()
    shape = (count, SPEC.size_px, SPEC.size_px)
    images = np.lib.format.open_memmap(
        folder / "images.npy", mode="w+", dtype=np.uint8, shape=shape
    )
    rng = np.random.default_rng(0)
    for image in images:
        image[:] = rng.integers(0, 256, image.shape, dtype=np.uint8)
    report = "The heart is normal in size. The lungs are clear. There is no effusion. " * 4
    write_samples(
        folder,
        (
            Sample(
                Row("bench", f"{i}", f"{i}", "train", report, (), "PA", "", "", "", "open"),
                frozenset(),
                (),
            )
            for i in range(count)
        ),
    )
    (folder / "rows.json").write_text(json.dumps({"left_out": {}, "structures": []}))
    (folder / "left_out.csv").write_text("table,image,reason,detail\n")
    mapped = np.load(folder / "images.npy", mmap_mode="r")
    masks = Masks(folder, (count, 1, *shape[1:]))
    return Cache(mapped, masks, Samples(folder), (), {}, folder)


def rows_per_s(read: Callable[[int], Any], rows: Sequence[int]) -> float:
    """Return how many rows a function reads in a second, stacked into batches."""
    start = time.perf_counter()
    for first in range(0, len(rows), _BATCH):
        batch = rows[first : first + _BATCH]
        np.stack([np.frombuffer(read(row), dtype=np.uint8) for row in batch])
    return len(rows) / (time.perf_counter() - start)


def measure_round(cache: Cache, config: DataConfig, number: int) -> dict[str, float]:
    """Return rows per second of each way of reading."""
    count = len(cache.samples)
    order = np.random.default_rng(number).permutation(count).tolist()
    found = open_shards(config, SPEC, cache.folder)
    windowed = Sampler(range(count), _BATCH, number, window=window_of(found.shard_of, 2))
    by_window = [r for i in range(windowed.steps) for r in windowed.rows(MicroBatchIndex(i))]
    of_litdata = StreamingDataset(str(config.shards), shuffle=False)
    return {
        "memory map, at random": rows_per_s(cache.images.__getitem__, order),
        "shards, first opening": rows_per_s(found.images.__getitem__, by_window),
        "shards, at random": rows_per_s(found.images.__getitem__, order),
        "shards, in windows": rows_per_s(found.images.__getitem__, by_window),
        "litdata, at random": rows_per_s(of_litdata.__getitem__, order[:1000]),
        "litdata, in order": rows_per_s(of_litdata.__getitem__, range(count)),
    }


def compare_readers(count: int, rounds: int) -> None:
    """Print the throughput of each way of reading, and its ratio to the memory map."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        cache = make_cache(folder / "cache", count)
        config = DataConfig(root=folder, tables=("bench",), shards=str(folder / "set"))
        start = time.perf_counter()
        manifest = write_shards(cache, config, SPEC, str(config.shards))
        print(f"written: {count / (time.perf_counter() - start):.0f} rows/s")
        print(f"{len(manifest.shards)} shards of {manifest.shards[0].size / 1e6:.1f} MB\n")
        speeds = [measure_round(cache, config, number) for number in range(rounds)]
    print("| reader | rows/s | ratio to the memory map (lowest to highest) |\n|---|---|---|")
    for way in speeds[0]:
        ratios = sorted(of_round[way] / of_round["memory map, at random"] for of_round in speeds)
        rows = statistics.median(of_round[way] for of_round in speeds)
        ratio = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"| {way} | {rows:.0f} | {ratio} |")


def simulate(pairs: int, processes: int, per_node: int, window: int) -> None:
    """Print the cost of the order, and how many shards a node opens.

    Args:
        pairs: number of pairs.
        processes: number of processes, each with micro-batches of 128.
        per_node: number of processes of the node that is watched, the first one.
        window: number of shards of a window.
    """
    shard_of = np.random.default_rng(0).permutation(pairs) // (SHARD_BYTES // SPEC.size_px**2)
    joined = _BATCH * processes
    sampler = Sampler(range(pairs), joined, 0, window=Window(shard_of, window))
    start = time.perf_counter()
    sampler.rows(MicroBatchIndex(0))
    print(f"order of an epoch of {pairs} pairs: {time.perf_counter() - start:.1f} s")
    steps = min(sampler.steps, 4 * window * pairs // int(shard_of.max() + 1) // joined)
    per_step, start = list[set[int]](), time.perf_counter()
    for step in range(steps):
        rows = sampler.rows(MicroBatchIndex(step))
        per_step.append({int(shard_of[row]) for row in rows[: _BATCH * per_node]})
    print(f"rows of a step: {(time.perf_counter() - start) / steps * 1e3:.1f} ms")
    fewest = steps * _BATCH * per_node / pairs * int(shard_of.max() + 1)
    opened = len(set[int]().union(*per_step))
    print(
        f"{steps} steps of a node: {statistics.mean(map(len, per_step)):.1f} shards in a step,"
        f" {opened} opened in all, {opened / fewest:.2f} times as many as its rows fill"
    )
    unordered = Sampler(range(pairs), joined, 0).rows(MicroBatchIndex(0))[: _BATCH * per_node]
    without = len({int(shard_of[row]) for row in unordered})
    print(f"without windows: {without} shards in the first step")


def draw_reports(cache: Cache, joined: int) -> None:
    """Print the time in which each process draws the reports of a joined batch."""
    rng, start = random.Random(0), time.perf_counter()  # noqa: S311 - as training draws them
    for number in range(joined):
        report(cache.samples[number % len(cache.samples)].row, rng)
    print(f"reports of a step of {joined} rows: {time.perf_counter() - start:.2f} s a process")


def main() -> None:
    """Run the comparison, or the simulation."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=6000, help="Rows of the comparison.")
    options.add_argument("--rounds", type=int, default=5, help="Rounds of the comparison.")
    options.add_argument("--plan", action="store_true", help="Simulate the order instead.")
    options.add_argument("--pairs", type=int, default=10_000_000, help="Pairs of the plan.")
    options.add_argument("--processes", type=int, default=128, help="Processes of the plan.")
    options.add_argument("--per-node", type=int, default=8, help="Processes of one node.")
    options.add_argument("--window", type=int, default=256, help="Shards of a window.")
    args = options.parse_args()
    if args.plan:
        simulate(args.pairs, args.processes, args.per_node, args.window)
        with tempfile.TemporaryDirectory() as temporary:
            draw_reports(make_cache(Path(temporary) / "cache", 500), _BATCH * args.processes)
    else:
        compare_readers(args.rows, args.rounds)


if __name__ == "__main__":
    main()
