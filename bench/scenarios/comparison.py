"""Comparison of our service, its peers and the bare runtime, in interleaved rounds.

    start and freeze all -> rounds: (thaw one, load it, freeze it) for each, in rotating order

Every round measures a rate of each subject, and ratios are taken round by round, so that a machine
that slows down affects both sides of a ratio.
"""

import contextlib
import http
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.load.generator import Load, generate
from bench.load.statistics import Ratio, Summary, ratio, summarise
from bench.reporting.report import BARE, BATCH, BEST, CUT, DECODING, LANES, LOOPS, OURS, SINGLE
from bench.scenarios.bare_runtime import BareRuntime
from bench.servers import subjects
from bench.servers.ours import Ours
from bench.servers.process import CannotStart, Server
from bench.servers.subjects import Setup, Subject

BATCHES = (2, 4, 8, 16)
WARM_S = 1.0


@dataclass(frozen=True)
class Plan:
    """Length of the comparison.

    Attributes:
        rounds: number of rounds.
        seconds: time for each subject in one round.
        clients: clients of the closed loop.
        batch: largest batch of the peers that form batches.
        peers: names of the peers that take part.
    """

    rounds: int
    seconds: float
    clients: int
    batch: int
    peers: tuple[str, ...]


@dataclass
class Record:
    """Measurements of one subject, round by round.

    Attributes:
        setting: configuration, in words.
        rates: answers, or images, per second.
        full: statistics with all clients; empty for the bare runtime.
        alone_ms: median latency with one client.
        agreement: largest difference of a probability from our service's.
    """

    setting: str
    rates: list[float] = field(default_factory=list)
    full: list[Summary] = field(default_factory=list)
    alone_ms: list[float] = field(default_factory=list)
    agreement: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return medians and rates as a JSON object."""
        return {
            "setting": self.setting,
            "rate": statistics.median(self.rates),
            "rates": self.rates,
            "p50_ms": _median([s.p50_ms for s in self.full]),
            "p95_ms": _median([s.p95_ms for s in self.full]),
            "p99_ms": _median([s.p99_ms for s in self.full]),
            "alone_ms": _median(self.alone_ms),
            "failed": sum(s.failed + s.refused for s in self.full),
            "lag_p99_ms": _median([s.lag_p99_ms for s in self.full]),
            "agreement": self.agreement,
        }


def measure(
    service: Ours, folder: Path, files: Sequence[Path], plan: Plan, work: Path
) -> dict[str, Any]:
    """Run the comparison.

    Returns:
        A JSON object with `subjects` (name -> record), `ratios` (our rate to each) and `missing`
        (peer -> reason).
    """
    setup = Setup(folder, files, service.threads, plan.batch, work)
    missing: dict[str, str] = {}
    chosen = [subjects.ours(service, setup), *_peers(setup, plan, missing)]
    bare = BareRuntime(folder, tuple(files), service.threads)
    with contextlib.ExitStack() as stack:
        stack.callback(bare.stop)
        running = list(_started(chosen, stack, missing))
        size = bare.best_batch(BATCHES, max(1.0, plan.seconds / 3))
        records = {name: Record(f"{service.threads} threads") for name in LOOPS}
        records[BATCH].setting = f"batches of {size}, the best of {BATCHES}"
        steps = _bare_steps(bare, records, plan, size)
        for subject, server, answer in running:
            agreement = _agreement(answer, running[0][2])
            record = Record(subject.setting, agreement=agreement)
            records[subject.name] = record
            steps.append(_step(subject, server, record, plan))
        for i in range(plan.rounds):
            first = i % len(steps)
            for step in steps[first:] + steps[:first]:
                step()
    ratios = _ratios(records, missing)
    return {
        "clients": plan.clients,
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "subjects": {name: record.to_json() for name, record in records.items()},
        "ratios": {name: vars(value) for name, value in ratios.items()},
        "missing": missing,
    }


def _ratios(records: dict[str, Record], missing: dict[str, str]) -> dict[str, Ratio]:
    """Return the ratio of our rate to each other, where both have a rate in every round."""
    rates = {name: record.rates for name, record in records.items() if name != OURS}
    rates[BEST] = best_of(records)
    ratios = {}
    for name, theirs in rates.items():
        try:
            ratios[name] = ratio(records[OURS].rates, theirs)
        except ValueError as error:
            missing[name] = str(error)
    return ratios


def best_of(records: dict[str, Record]) -> list[float]:
    """Return the rates of the bare loop with the highest median."""
    best = max(BARE, key=lambda name: statistics.median(records[name].rates))
    return records[best].rates


def _peers(setup: Setup, plan: Plan, missing: dict[str, str]) -> Iterator[Subject]:
    for name in plan.peers:
        try:
            candidates = subjects.PEERS[name](setup)
            yield subjects.fastest(candidates, plan.clients, plan.seconds / 2)
        except (subjects.NotInstalled, CannotStart) as error:
            missing[name] = str(error)


def _started(
    chosen: Sequence[Subject], stack: contextlib.ExitStack, missing: dict[str, str]
) -> Iterator[tuple[Subject, Server, subjects.Probabilities]]:
    """Start the subjects and freeze each one after its first answer; skip those that fail."""
    for subject in chosen:
        server = subject.start()
        stack.callback(server.stop)
        try:
            server.wait_until_ready()
            answer = _first(subject, server)
        except CannotStart as error:
            if subject.name == OURS:
                raise
            missing[subject.name] = str(error)
        else:
            yield subject, server, answer
        server.freeze()


def _first(subject: Subject, server: Server) -> subjects.Probabilities:
    target = subject.targets[0]
    body = Path(target.body).read_bytes()
    status, content = server.ask(target.method, target.path, body, target.headers)
    if status != http.HTTPStatus.OK:
        raise CannotStart(f"{status} {content[:300].decode(errors='replace')}")
    return subject.read(content)


def _agreement(answer: subjects.Probabilities, reference: subjects.Probabilities) -> float:
    """Return the largest difference; the same model must give nearly equal probabilities."""
    return max(abs(answer[label] - reference[label]) for label in reference)


def _bare_steps(
    bare: BareRuntime, records: dict[str, Record], plan: Plan, size: int
) -> list[Callable[[], None]]:
    modes = {SINGLE: "single", BATCH: "batch", LANES: "lanes", CUT: "cut", DECODING: "decoding"}

    def step(name: str, mode: str) -> Callable[[], None]:
        return lambda: records[name].rates.append(bare.run(mode, plan.seconds, size).rate)

    return [step(name, mode) for name, mode in modes.items()]


def _step(subject: Subject, server: Server, record: Record, plan: Plan) -> Callable[[], None]:
    def step() -> None:
        server.thaw()
        try:
            alone = Load(server.port, subject.targets, clients=1, seconds=WARM_S + plan.seconds / 3)
            window = (WARM_S, alone.seconds)
            record.alone_ms.append(summarise(generate(alone), window, alone.timeout_s).p50_ms)
            full = Load(
                server.port, subject.targets, clients=plan.clients, seconds=WARM_S + plan.seconds
            )
            summary = summarise(generate(full), (WARM_S, full.seconds), full.timeout_s)
        finally:
            server.freeze()
        record.full.append(summary)
        record.rates.append(summary.throughput)
        print(f"{subject.name}: {summary.throughput:.1f} in 1 s", file=sys.stderr)

    return step


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
