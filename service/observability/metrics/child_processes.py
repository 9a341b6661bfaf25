"""Number and memory of the child processes, as Prometheus metrics.

    /proc/<pid>/task/*/children -> /proc/<pid>/smaps_rollup (Pss) -> g2d_child_processes_*

Decoders share most of their memory with each other. Each shared page is counted once (proportional
set size); the sum of resident set sizes would be several times too large.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_KIB = 1024


class ChildProcesses(Collector):
    """Collector for all descendants of a process; finds none on systems without /proc.

    Args:
        root: the proc file system.
        pid: the process, or None for this one.
    """

    def __init__(self, root: Path = Path("/proc"), pid: int | None = None) -> None:
        self._root = root
        self._pid = os.getpid() if pid is None else pid

    def collect(self) -> Iterator[Metric]:
        """Yield the two metrics, read from /proc."""
        sizes = [self._pss(pid) for pid in self._below(self._pid)]
        yield GaugeMetricFamily(
            "g2d_child_processes", "Descendant processes of the service.", value=len(sizes)
        )
        yield GaugeMetricFamily(
            "g2d_child_processes_memory_bytes",
            "Memory of the descendant processes, shared pages counted once.",
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
    """Return the text of a file; empty if the process has ended or may not be inspected."""
    try:
        return path.read_text()
    except OSError:
        return ""
