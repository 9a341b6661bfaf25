"""Memory: the service and its children, weighed (PSS) while requests go on."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.checks import Check, at_most, none_of
from bench.load.generator import Load, Running
from bench.load.statistics import growth
from bench.servers.ours import ALL_TASKS, TASKS, targets
from bench.servers.process import Server

FLAT_PERCENT = 5.0
CLIENTS = 8
EVERY_S = 0.5
_WARM_SHARE = 10  # one tenth of the requests


def measure(
    server: Server, files: Sequence[Path], requests: int
) -> tuple[list[Check], dict[str, Any]]:
    """All tasks in turns from several clients; the first tenth warms up and is not weighed."""
    asked = targets([*TASKS.values(), ALL_TASKS], files)
    warm = max(1, requests // _WARM_SHARE)
    load = Load(server.port, asked, clients=CLIENTS, seconds=3600, count=warm)
    Running(load).outcomes()
    load = Load(server.port, asked, clients=CLIENTS, seconds=3600, count=requests - warm)
    running = Running(load)
    samples = weigh(server.pss_mib, running.alive)
    outcomes = running.outcomes()
    failed = [outcome for outcome in outcomes if not outcome.answered]
    reasons = "; ".join(sorted({f"{o.status} {o.note}".strip() for o in failed})[:3])
    name = f"memory over {requests} requests"
    return [
        flat(name, samples),
        none_of(f"{name}: failures", "failed request", len(failed), len(outcomes), reasons),
    ], {"requests": requests, "pss_mib": samples}


def weigh(pss_mib: Callable[[], float], going_on: Callable[[], bool]) -> list[float]:
    """Samples until it is over; at least one."""
    samples = [pss_mib()]
    while going_on():
        time.sleep(EVERY_S)
        samples.append(pss_mib())
    return samples


def flat(name: str, samples: Sequence[float]) -> Check:
    """Hold the end of a series against its beginning."""
    note = (
        f"PSS of service and children, MiB: {samples[0]:.0f} at first, {samples[-1]:.0f} at last, "
        f"{max(samples):.0f} at most; medians of the last and the first tenth of {len(samples)}"
    )
    return at_most(name, 100 * growth(samples), FLAT_PERCENT, "%", note)
