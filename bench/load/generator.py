"""Load generator, which runs as a process of its own.

    `Load` (a line of JSON) --stdin--> open or closed loop --stdout--> one `Outcome` a line (JSON)

Open loop: every request starts at its scheduled time, however many are still unanswered.
Closed loop: each of N clients sends its next request once it has a response. A load ends after
`seconds`, after `count` requests, or when the standard input is closed.
"""

import asyncio
import hashlib
import itertools
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.load import http1
from bench.load.arrivals import Arrivals, arrivals
from bench.load.statistics import FAILED, Outcome, server_timing

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Target:
    """One request that is sent repeatedly; several targets take turns.

    Attributes:
        path: path with its query.
        method: HTTP method.
        headers: HTTP headers.
        body: path of the file that is sent, or "".
    """

    path: str
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""

    def encoded(self) -> bytes:
        """Return the bytes of the request."""
        body = Path(self.body).read_bytes() if self.body else b""
        return http1.request(self.method, self.path, self.headers, body)


@dataclass(frozen=True)
class Load:
    """Specification of one load.

    Attributes:
        port: port of 127.0.0.1.
        targets: requests, sent in turns.
        clients: clients of a closed loop; 0 is an open loop.
        rate: requests per second of an open loop.
        arrivals: schedule of an open loop.
        seed: seed of the schedule.
        seconds: time after which no more requests start.
        count: largest number of requests of a closed loop; 0 is no limit.
        timeout_s: time after which a request counts as failed.
        identify: record which model and thresholds answered.
    """

    port: int
    targets: tuple[Target, ...]
    clients: int = 0
    rate: float = 0.0
    arrivals: Arrivals = "poisson"
    seed: int = 0
    seconds: float = 5.0
    count: int = 0
    timeout_s: float = 60.0
    identify: bool = False

    @classmethod
    def from_json(cls, text: str) -> "Load":
        """Parse one line."""
        given = json.loads(text)
        given["targets"] = tuple(Target(**target) for target in given["targets"])
        return cls(**given)


class Generator:
    """Generator of one load."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._requests = itertools.cycle([target.encoded() for target in load.targets])
        self._connections = http1.Connections(load.port)
        self._outcomes: list[Outcome] = []
        self._begun = 0
        self._stopped = asyncio.Event()

    async def run(self) -> list[Outcome]:
        """Return the outcome of every request, in the order in which they ended."""
        self._start = time.perf_counter()
        try:
            await (self._closed() if self._load.clients else self._open())
        finally:
            self._connections.close()
        return self._outcomes

    def stop(self) -> None:
        """Start no more requests."""
        self._stopped.set()

    def _now(self) -> float:
        return time.perf_counter() - self._start

    def _over(self) -> bool:
        full = 0 < self._load.count <= self._begun
        return full or self._stopped.is_set() or self._now() >= self._load.seconds

    async def _open(self) -> None:
        load = self._load
        async with asyncio.TaskGroup() as group:
            for at in arrivals(load.arrivals, load.rate, load.seconds, load.seed):
                await asyncio.sleep(max(0.0, at - self._now()))
                if self._stopped.is_set():
                    return
                group.create_task(self._ask(at))

    async def _closed(self) -> None:
        async def client() -> None:
            while not self._over():
                self._begun += 1
                await self._ask(self._now())

        async with asyncio.TaskGroup() as group:
            for _ in range(self._load.clients):
                group.create_task(client())

    async def _ask(self, intended_s: float) -> None:
        data = next(self._requests)
        sent_s = self._now()
        try:
            async with asyncio.timeout(self._load.timeout_s):
                answer = await self._connections.ask(data)
        except (OSError, TimeoutError, http1.BrokenAnswer) as error:
            note = f"{type(error).__name__} {error}".strip()
            self._outcomes.append(Outcome(intended_s, sent_s, self._now(), FAILED, note=note))
            return
        done_s = self._now()
        stages = server_timing(answer.headers.get("server-timing", ""))
        self._outcomes.append(
            Outcome(
                intended_s,
                sent_s,
                done_s,
                answer.status,
                retry_after="retry-after" in answer.headers,
                total_ms=stages.get("total"),
                note=identity(answer) if self._load.identify and answer.status == 200 else "",
            )
        )


def identity(answer: http1.Answer) -> str:
    """Return everything in a response that identifies the version that answered."""
    content = json.loads(answer.body)
    model = content["model"]
    thresholds = {item["name"]: item["threshold"] for item in content.get("findings", ())}
    version = f"{model['name']}/{model['version']}"
    header = answer.headers.get("x-model-version", "")
    return identity_of(header, version, model["digest"], thresholds)


def identity_of(header: str, version: str, digest: str, thresholds: dict[str, float]) -> str:
    """Return the identity of a version; a mixture of two versions has another identity."""
    text = json.dumps(thresholds, sort_keys=True).encode()
    return f"{header} {version} {digest[:12]} {hashlib.sha256(text).hexdigest()[:12]}"


async def _stop_at_end_of_input(generator: Generator) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    generator.stop()


async def _generate(load: Load) -> list[Outcome]:
    generator = Generator(load)
    watching = asyncio.create_task(_stop_at_end_of_input(generator))
    try:
        return await generator.run()
    finally:
        watching.cancel()


def main() -> None:
    """Read a load from standard input, run it and write the outcomes."""
    load = Load.from_json(sys.stdin.readline())
    for outcome in asyncio.run(_generate(load)):
        sys.stdout.write(json.dumps(asdict(outcome)) + "\n")


class GeneratorProcess:
    """A load generator that runs in a process of its own."""

    def __init__(self, load: Load) -> None:
        # A file, because a pipe holds 64 KB and the generator would block until it is read.
        self._written = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as self
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load.generator"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=self._written,
            text=True,
        )
        stdin = self._process.stdin
        if stdin is None:
            raise RuntimeError("the generator has no standard input")
        stdin.write(json.dumps(asdict(load)) + "\n")
        stdin.flush()

    def alive(self) -> bool:
        """Return whether the generator is still running."""
        return self._process.poll() is None

    def outcomes(self, *, stop: bool = False) -> list[Outcome]:
        """Wait for the end of the load, or end it with `stop`, and return the outcomes."""
        # The generator stops when its standard input is closed.
        if stop and self._process.stdin is not None:
            self._process.stdin.close()
        if self._process.wait() != 0:
            raise SystemExit("the load generator failed")
        with self._written as lines:
            lines.seek(0)
            return [Outcome(**json.loads(line)) for line in lines]


def generate(load: Load) -> list[Outcome]:
    """Run a load to its end in a process of its own."""
    return GeneratorProcess(load).outcomes()


if __name__ == "__main__":
    main()
