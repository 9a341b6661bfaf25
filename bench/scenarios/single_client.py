"""One client: overhead of the service, cost of a repeated phrase and of all tasks together."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from bench.reporting.checks import Check, at_most
from bench.scenarios.timed_client import Client, Sample, median_overhead_ms, median_total_ms
from bench.servers.ours import ALL_TASKS, TASKS, WITHOUT_PHRASE

OVERHEAD_MS = 3.0
PHRASE = 1.1
ALL = 1.25
_ANALYZE, _IMAGE_ALONE = "analyze", "image alone"


def check(port: int, files: Sequence[Path], requests: int) -> list[Check]:
    """Request every task in turns, one request at a time, and check the goals."""
    paths = {**TASKS, _ANALYZE: ALL_TASKS, _IMAGE_ALONE: WITHOUT_PHRASE}
    samples = Client(port).interleaved(paths, files, requests)
    return [overhead(samples), phrase(samples), everything(samples)]


def overhead(samples: dict[str, list[Sample]]) -> Check:
    """Check the Server-Timing total without decoding and model, for `classify`."""
    values = {name: median_overhead_ms(found) for name, found in samples.items()}
    named = [name for name in values if name not in ("classify", _IMAGE_ALONE)]
    others = ", ".join(f"{name} {values[name]:.1f}" for name in named)
    note = f"classify; results and their encoding included: {others} ms"
    return at_most("total - decode - model, 1 client", values["classify"], OVERHEAD_MS, "ms", note)


def phrase(samples: dict[str, list[Sample]]) -> Check:
    """Check the cost of a phrase that was requested before, relative to the image alone."""
    both, image = (median_total_ms(samples[name]) for name in (_ANALYZE, _IMAGE_ALONE))
    pairs = zip(samples[_ANALYZE], samples[_IMAGE_ALONE], strict=True)
    ratio = statistics.median(a.total_ms / b.total_ms for a, b in pairs)
    ground = median_total_ms(samples["ground"])
    model = statistics.median(
        a.model_ms - b.model_ms
        for a, b in zip(samples[_ANALYZE], samples[_IMAGE_ALONE], strict=True)
    )
    note = f"/analyze {both:.1f} ms, without the phrase {image:.1f} ms; median of pairs; "
    note += f"the model takes {model:.1f} ms of the difference; /ground alone {ground:.1f} ms"
    return at_most("repeated phrase / image alone", ratio, PHRASE, "", note)


def everything(samples: dict[str, list[Sample]]) -> Check:
    """Check the cost of all four tasks in one request, relative to the slowest one."""
    singles = {name: median_total_ms(samples[name]) for name in TASKS}
    slowest = max(singles, key=lambda name: singles[name])
    pairs = zip(samples[_ANALYZE], samples[slowest], strict=True)
    ratio = statistics.median(a.total_ms / b.total_ms for a, b in pairs)
    together = median_total_ms(samples[_ANALYZE])
    note = f"/analyze {together:.1f} ms, /{slowest} {singles[slowest]:.1f} ms; median of pairs"
    return at_most("/analyze, all four / dearest task", ratio, ALL, "", note)
