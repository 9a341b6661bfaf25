"""Descendants: what the processes that this one started cost, as Prometheus reads it.

    /proc/<pid>/task/*/children -> /proc/<pid>/smaps_rollup (Pss) -> g2d_child_processes_*

Decoders share most of their memory with each other, so each shared page is counted once
(proportional set size), or the sum would be several times what they take.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_KIB = 1024


class Descendants(Collector):
    """Number and memory of the processes below one; nothing where there is no /proc."""

    def __init__(self, root: Path = Path("/proc"), pid: int | None = None) -> None:
        self._root = root
        self._pid = os.getpid() if pid is None else pid

    def collect(self) -> Iterator[Metric]:
        """Read /proc once."""
        sizes = [self._pss(pid) for pid in self._below(self._pid)]
        yield GaugeMetricFamily(
            "g2d_child_processes", "Processes below the service.", value=len(sizes)
        )
        yield GaugeMetricFamily(
            "g2d_child_processes_memory_bytes",
            "Memory of the processes below the service, shared pages counted once.",
            value=sum(sizes),
        )

    def _below(self, pid: int) -> Iterator[int]:
        for children in self._root.glob(f"{pid}/task/*/children"):
            for child in _read(children).split():
                yield int(child)
                yield from self._below(int(child))

    def _pss(self, pid: int) -> int:
        for line in _read(self._root / str(pid) / "smaps_rollup").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * _KIB
        return 0


def _read(path: Path) -> str:
    """The text of a file, empty when the process has ended or is not ours to look at."""
    try:
        return path.read_text()
    except OSError:
        return ""
