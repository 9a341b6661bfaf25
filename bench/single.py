"""One client: what the service adds, what a phrase costs, what all tasks together cost."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from bench.checks import Check, at_most
from bench.ours import ALL_TASKS, TASKS
from bench.sampling import Client, Sample, median_overhead_ms, median_total_ms

OVERHEAD_MS = 3.0
PHRASE = 1.1
ALL = 1.25
_ANALYZE = "analyze"


def check(port: int, files: Sequence[Path], requests: int) -> list[Check]:
    """Ask for every task in turns, one request at a time."""
    paths = {**TASKS, _ANALYZE: ALL_TASKS}
    samples = Client(port).interleaved(paths, files, requests)
    return [overhead(samples), phrase(samples), everything(samples)]


def overhead(samples: dict[str, list[Sample]]) -> Check:
    """Server-Timing's total without decoding and model, for the task that only reads labels."""
    values = {name: median_overhead_ms(found) for name, found in samples.items()}
    others = ", ".join(f"{name} {ms:.1f}" for name, ms in values.items() if name != "classify")
    note = f"classify; results and their encoding included: {others} ms"
    return at_most("total - decode - model, 1 client", values["classify"], OVERHEAD_MS, "ms", note)


def phrase(samples: dict[str, list[Sample]]) -> Check:
    """A phrase that was asked before, against the image alone."""
    ground, image = (median_total_ms(samples[name]) for name in ("ground", "classify"))
    pairs = zip(samples["ground"], samples["classify"], strict=True)
    ratio = statistics.median(a.total_ms / b.total_ms for a, b in pairs)
    note = f"/ground {ground:.1f} ms, /classify {image:.1f} ms; median of pairs"
    return at_most("repeated phrase / image alone", ratio, PHRASE, "", note)


def everything(samples: dict[str, list[Sample]]) -> Check:
    """All four tasks in one request, against the dearest one."""
    singles = {name: median_total_ms(samples[name]) for name in TASKS}
    dearest = max(singles, key=lambda name: singles[name])
    pairs = zip(samples[_ANALYZE], samples[dearest], strict=True)
    ratio = statistics.median(a.total_ms / b.total_ms for a, b in pairs)
    together = median_total_ms(samples[_ANALYZE])
    note = f"/analyze {together:.1f} ms, /{dearest} {singles[dearest]:.1f} ms; median of pairs"
    return at_most("/analyze, all four / dearest task", ratio, ALL, "", note)
