"""Memory of the service and its child processes (PSS) over many requests."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.load.generator import GeneratorProcess, Load
from bench.load.statistics import growth
from bench.reporting.checks import Check, at_most, none_of
from bench.servers.ours import ALL_TASKS, TASKS, targets
from bench.servers.process import Server

FLAT_PERCENT = 5.0
CLIENTS = 8
EVERY_S = 0.5
_WARM_SHARE = 10  # one tenth of the requests


def measure(
    server: Server, files: Sequence[Path], requests: int
) -> tuple[list[Check], dict[str, Any]]:
    """Measure the memory while several clients request all tasks in turns.

    The first tenth of the requests warms up and is not measured.
    """
    asked = targets([*TASKS.values(), ALL_TASKS], files)
    warm = max(1, requests // _WARM_SHARE)
    load = Load(server.port, asked, clients=CLIENTS, seconds=3600, count=warm)
    GeneratorProcess(load).outcomes()
    load = Load(server.port, asked, clients=CLIENTS, seconds=3600, count=requests - warm)
    generator = GeneratorProcess(load)
    samples = sample_memory(server.pss_mib, generator.alive)
    outcomes = generator.outcomes()
    failed = [outcome for outcome in outcomes if not outcome.answered]
    reasons = "; ".join(sorted({f"{o.status} {o.note}".strip() for o in failed})[:3])
    name = f"memory over {requests} requests"
    return [
        flat(name, samples),
        none_of(f"{name}: failures", "failed request", len(failed), len(outcomes), reasons),
    ], {"requests": requests, "pss_mib": samples}


def sample_memory(pss_mib: Callable[[], float], running: Callable[[], bool]) -> list[float]:
    """Return samples of the memory until the load ends; at least one."""
    samples = [pss_mib()]
    while running():
        time.sleep(EVERY_S)
        samples.append(pss_mib())
    return samples


def flat(name: str, samples: Sequence[float]) -> Check:
    """Check that the end of a series is not above its beginning."""
    note = (
        f"PSS of service and children, MiB: {samples[0]:.0f} at first, {samples[-1]:.0f} at last, "
        f"{max(samples):.0f} at most; medians of the last and the first tenth of {len(samples)}"
    )
    return at_most(name, 100 * growth(samples), FLAT_PERCENT, "%", note)
