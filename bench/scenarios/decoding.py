"""Cost of reading and preprocessing one file, in units of one look-up of all of its pixels.

    file --read, preprocess, for each version of the preprocessing--> milliseconds
    its samples --NumPy's `take` of a table of 65,536 entries-------> milliseconds

Both are measured in turns in one process, so that a ratio does not depend on the speed of the
machine. A look-up is the least that any reader of stored values needs if it touches every pixel.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.reporting import checks
from radiograph.preprocess import PreprocessSpec
from radiograph.readers.read import UNKNOWN, read
from service.decoding.decode import DecodeRequest, decode

VERSIONS = (1, 2)
BOUND = 1.6
"""Goal for version 2: reading and preprocessing, in look-ups."""


def measure(file: Path, repetitions: int) -> tuple[Sequence[checks.Check], dict[str, Any]]:
    """Measure one file.

    Returns:
        The check of the goal, and a JSON object with `look_up_ms` and, for each version, a row of
        the milliseconds for reading, preprocessing and both, and the ratio of both to a look-up.
    """
    data = file.read_bytes()
    samples = read(data).samples
    table = np.arange(2**16, dtype=np.uint16)
    requests = [
        DecodeRequest(data, UNKNOWN, PreprocessSpec.model_validate({"version": version}))
        for version in VERSIONS
    ]
    look_ups: list[float] = []
    stages: list[list[tuple[float, float]]] = [[] for _ in requests]
    for _ in range(repetitions + 1):
        look_ups.append(_milliseconds(lambda: _look_up(samples, table)))
        for request, found in zip(requests, stages, strict=True):
            timings = decode(request).timings_ms
            found.append((timings["read"], timings["preprocess"]))
    look_up_ms = statistics.median(look_ups[1:])  # the first of each warms up
    rows = {}
    for version, found in zip(VERSIONS, stages, strict=True):
        reading, preprocessing = (
            statistics.median(stage) for stage in zip(*found[1:], strict=True)
        )
        both = statistics.median(sum(times) for times in found[1:])
        rows[f"version {version}"] = [reading, preprocessing, both, both / look_up_ms]
    check = checks.at_most(
        "decode + preprocess / one look-up, preprocessing of version 2",
        rows[f"version {VERSIONS[-1]}"][-1],
        BOUND,
        "",
        f"median of {repetitions}, in turns, in this process",
    )
    figures = {
        "megapixels": samples.size / 1e6,
        "look_up_ms": look_up_ms,
        "columns": ["read", "preprocess", "both", "both / look-up"],
        "rows": rows,
    }
    return [check], {"decoding": figures}


def _look_up(samples: np.ndarray[Any, Any], table: np.ndarray[Any, Any]) -> None:
    """Look up all samples in chunks that fit the cache, the fastest form found."""
    found = np.empty(samples.shape, dtype=table.dtype)
    source, target = samples.reshape(-1), found.reshape(-1)
    for start in range(0, source.size, 2**16):
        chunk = slice(start, start + 2**16)
        np.take(table, source[chunk], out=target[chunk], mode="wrap")


def _milliseconds(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3
