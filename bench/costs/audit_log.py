"""Cost of the audit log: CPU time and throughput with it, relative to the service without.

    python -m bench.costs.audit_log --rounds 6 --seconds 10

Two services of one configuration run side by side, one of them frozen. Each round loads one and
then the other, in alternating order, and the ratios are taken round by round. CPU time, unlike
throughput, hardly depends on what else the machine does; throughput, unlike CPU time, does not
count work that waits beside a core that would be idle. The log is an SQLite file in a temporary
folder. Large files are digested for longer, so they are measured separately.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import inputs
from bench.load.generator import Load, generate
from bench.load.statistics import Ratio, ratio
from bench.servers.ours import Ours, targets
from bench.servers.process import Server, serving

GOAL = 1.05
_SETTINGS = {"G2D_JOBS_DIR": "", "G2D_VARIANT": "float32", "G2D_MAX_BATCH": "4"}
"""Nothing that each of the two services would measure and choose for itself."""


@dataclass(frozen=True)
class Plan:
    """Length of the measurement.

    Attributes:
        rounds: number of rounds.
        seconds: time for each service in one round.
        clients: clients of the closed loop.
    """

    rounds: int
    seconds: float
    clients: int


def main(arguments: list[str] | None = None) -> int:
    """Print the ratios; 1 if the log costs more than it may."""
    line = argparse.ArgumentParser(description="Measure the cost of the audit log.")
    line.add_argument("--models-dir", type=Path, default=Path("models"), help="model repository")
    line.add_argument("--model", default="g2d-cxr", help="name of the model")
    line.add_argument("--threads", type=int, default=1, help="threads of one graph")
    line.add_argument("--rounds", type=int, default=6, help="number of rounds")
    line.add_argument("--seconds", type=float, default=10.0, help="seconds of each load")
    line.add_argument("--clients", type=int, default=8, help="clients at the same time")
    line.add_argument("--failure", nargs="+", default=["refuse", "continue"], help="settings")
    options = line.parse_args(arguments)
    ours = Ours(options.models_dir, options.model, options.threads, settings=_SETTINGS)
    plan = Plan(options.rounds, options.seconds, options.clients)
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        files = inputs.prepare(Path(folder), [])
        for name, chosen in {"small files": files.small, "10 MB DICOM": [files.dicom]}.items():
            for failure in options.failure:
                cpu, throughput = measure(ours, Path(folder), chosen, failure, plan)
                worst = max(worst, cpu.median)
                what = f"{_text(cpu)} of the CPU time, {_text(throughput)} of the throughput"
                print(f"{name}, {failure}: {what} without a log", flush=True)
    return int(worst > GOAL)


def _text(found: Ratio) -> str:
    return f"{found.median:.3f} ({found.low:.3f} to {found.high:.3f})"


def measure(
    ours: Ours, folder: Path, files: Sequence[Path], failure: str, plan: Plan
) -> tuple[Ratio, Ratio]:
    """Return CPU time of a request, and throughput, with an audit log relative to without one.

    Args:
        ours: configuration of both services.
        folder: folder of the log.
        files: files that are sent in turns.
        failure: value of `G2D_AUDIT_FAILURE`.
        plan: length of the measurement.
    """
    log = folder / f"audit-{failure}.sqlite"
    audited = {"G2D_AUDIT_FILE": str(log), "G2D_AUDIT_FAILURE": failure}
    costs: dict[str, list[_Cost]] = {"plain": [], "audited": []}
    with serving(ours.start()) as (plain, _), serving(ours.start(**audited)) as (with_log, _):
        servers = {"plain": plain, "audited": with_log}
        for server in servers.values():
            server.freeze()
        for number in range(plan.rounds):
            for name in sorted(servers, reverse=bool(number % 2)):
                costs[name].append(_cost(servers[name], files, plan))
        for server in servers.values():
            server.thaw()
    cpu, throughput = (
        ratio(*([getattr(cost, name) for cost in costs[server]] for server in ("audited", "plain")))
        for name in ("cpu_s", "per_s")
    )
    return cpu, throughput


@dataclass(frozen=True)
class _Cost:
    """CPU seconds of one request, and requests that were answered in one second."""

    cpu_s: float
    per_s: float


def _cost(server: Server, files: Sequence[Path], plan: Plan) -> _Cost:
    """Return the cost of the requests of a server, which is frozen before and after."""
    server.thaw()
    try:
        load = Load(
            server.port,
            targets(["/v1/classify"], files),
            clients=plan.clients,
            seconds=plan.seconds,
        )
        started = server.cpu_s()
        outcomes = generate(load)
        used = server.cpu_s() - started
    finally:
        server.freeze()
    answered = sum(outcome.answered for outcome in outcomes)
    if answered < len(outcomes):
        print(f"{len(outcomes) - answered} of {len(outcomes)} not answered", file=sys.stderr)
    seconds = max((outcome.done_s for outcome in outcomes), default=plan.seconds)
    return _Cost(used / max(answered, 1), answered / seconds)


if __name__ == "__main__":
    sys.exit(main())
