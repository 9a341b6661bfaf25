"""Client that times one request after the other, with the stages that the server reports."""

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
"""Column of the table -> stages of the Server-Timing header."""


@dataclass(frozen=True)
class Sample:
    """Milliseconds of one request: as the client waited, and by stage as the server reports."""

    wall_ms: float
    stages_ms: dict[str, float]

    @property
    def total_ms(self) -> float:
        """Milliseconds from the first byte of the request to the answer, in the server."""
        return self.stages_ms["total"]

    @property
    def model_ms(self) -> float:
        """Milliseconds in the graphs of the model."""
        return sum(self.stages_ms.get(name, 0.0) for name in MODEL)

    @property
    def overhead_ms(self) -> float:
        """The total without decoding, preprocessing and the model."""
        return self.total_ms - sum(self.stages_ms.get(name, 0.0) for name in DECODE + MODEL)

    def columns(self) -> list[float]:
        """Return the values of COLUMNS, then the time that no stage accounts for."""
        given = [sum(self.stages_ms.get(stage, 0.0) for stage in g) for g in COLUMNS.values()]
        return [*given, self.total_ms - sum(given)]


class Client:
    """A client with one persistent connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=60)

    def ask(self, path: str, file: Path, accept: str = "application/json") -> Sample:
        """Send a file and return the times.

        Raises:
            SystemExit: the request was not answered with 200.
        """
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
        """Send to every path in turns, `count` times, so that drift affects all alike."""
        for path in paths.values():
            self.ask(path, files[0])
        samples: dict[str, list[Sample]] = {name: [] for name in paths}
        for i in range(count):
            for name, path in paths.items():
                samples[name].append(self.ask(path, files[i % len(files)]))
        return samples


def median_total_ms(samples: Sequence[Sample]) -> float:
    """Return the median total of the server."""
    return statistics.median(sample.total_ms for sample in samples)


def median_overhead_ms(samples: Sequence[Sample]) -> float:
    """Return the median overhead."""
    return statistics.median(sample.overhead_ms for sample in samples)


def row(samples: Sequence[Sample]) -> list[float]:
    """Return median and p95 of the client's times, then the medians of the columns."""
    walls = [sample.wall_ms for sample in samples]
    columns = zip(*(sample.columns() for sample in samples), strict=True)
    return [
        statistics.median(walls),
        percentile(walls, 95),
        *(statistics.median(column) for column in columns),
    ]
