"""Samples: one request after the other over one connection, with the server's own stages."""

import http.client
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.load.http1 import HOST
from bench.load.statistics import percentile, server_timing
from bench.servers.ours import headers

DECODE = ("read", "decode", "preprocess")
MODEL = ("trunk", "text", "heads", "model")
COLUMNS = {
    "decode": ("read", "decode"),
    "preprocess": ("preprocess",),
    "model": MODEL,
    "receive": ("receive", "unpack"),
    "wait": ("wait", "queue"),
    "results": ("results",),
    "encode": ("encode",),
}
"""Column of the table -> stages of Server-Timing."""


@dataclass(frozen=True)
class Sample:
    """One request: milliseconds that the client waited, and the server's own by stage."""

    wall_ms: float
    stages_ms: dict[str, float]

    @property
    def total_ms(self) -> float:
        """From the first byte of the request to the answer, as the server saw it."""
        return self.stages_ms["total"]

    @property
    def overhead_ms(self) -> float:
        """The total without decoding to the model's input and without the model."""
        return self.total_ms - sum(self.stages_ms.get(name, 0.0) for name in DECODE + MODEL)

    def columns(self) -> list[float]:
        """In the order of COLUMNS; the last is what no stage claims."""
        given = [sum(self.stages_ms.get(stage, 0.0) for stage in g) for g in COLUMNS.values()]
        return [*given, self.total_ms - sum(given)]


class Client:
    """One client of the service."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=60)

    def ask(self, path: str, file: Path, accept: str = "application/json") -> Sample:
        """One request for a file."""
        body = file.read_bytes()
        started = time.perf_counter()
        self._connection.request("POST", path, body, headers(file, accept))
        response = self._connection.getresponse()
        content = response.read()
        wall_ms = (time.perf_counter() - started) * 1e3
        if response.status != http.HTTPStatus.OK:
            raise SystemExit(f"{path}: {response.status} {content.decode(errors='replace')[:500]}")
        return Sample(wall_ms, server_timing(response.headers["Server-Timing"]))

    def interleaved(
        self, paths: dict[str, str], files: Sequence[Path], count: int
    ) -> dict[str, list[Sample]]:
        """Ask at every address in turns, `count` times, so that drift hits all alike."""
        for path in paths.values():
            self.ask(path, files[0])
        samples: dict[str, list[Sample]] = {name: [] for name in paths}
        for i in range(count):
            for name, path in paths.items():
                samples[name].append(self.ask(path, files[i % len(files)]))
        return samples


def median_total_ms(samples: Sequence[Sample]) -> float:
    """Median of the server's totals."""
    return statistics.median(sample.total_ms for sample in samples)


def median_overhead_ms(samples: Sequence[Sample]) -> float:
    """Median of what is neither decoding nor model."""
    return statistics.median(sample.overhead_ms for sample in samples)


def row(samples: Sequence[Sample]) -> list[float]:
    """Median and p95 of what the client waited, then medians of the columns."""
    walls = [sample.wall_ms for sample in samples]
    columns = zip(*(sample.columns() for sample in samples), strict=True)
    return [
        statistics.median(walls),
        percentile(walls, 95),
        *(statistics.median(column) for column in columns),
    ]
