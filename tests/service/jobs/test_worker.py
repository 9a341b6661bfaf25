"""The runner: what is tried again, what is not, what it gives back when it stops."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from radiograph.errors import MalformedInput, RadiographError
from service.errors import BackendFailure, NotReady, Overloaded
from service.jobs import item_predictor
from service.jobs.job import Contents, Job, JobQuestion, JobState, Piece
from service.jobs.storage.database import Database
from service.jobs.storage.spool import Spool
from service.jobs.storage.store import Store
from service.jobs.trade import Trade
from service.jobs.worker import Pace, Runner, Threads
from service.observability.observer import NullObserver
from tests.service.jobs.storage.test_store import new

PACE = Pace(in_flight=2, attempts=3, max_bytes=100, stale_s=1000, poll_s=0.01, backoff_s=0.0)
Act = Callable[[bytes], Awaitable[None]]


@dataclass
class Heard(NullObserver):
    """An observer that remembers."""

    jobs: list[tuple[str, int]] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)

    def job(self, change: str, items: int) -> None:
        self.jobs.append((change, items))

    def job_item(self, outcome: str, seconds: float) -> None:
        self.outcomes.append(outcome)


@dataclass
class Bench:
    """A runner around something that acts like an analysis."""

    store: Store
    spool: Spool
    runner: Runner
    heard: Heard

    def accept(self, bodies: list[bytes]) -> None:
        """Take the job `job`, as the desk would."""
        incoming, pieces, start = self.spool.begin(), [], 0
        for position, body in enumerate(bodies, 1):
            incoming.write(body)
            size = len(body)
            pieces.append(Piece(position, start, size, size, False, None, "image/png"))
            start += size
        self.spool.keep(incoming, "job")
        incoming.discard()
        self.store.accept(replace(new("job", 1), contents=Contents(tuple(pieces))))
        self.runner.wake()

    async def finished(self) -> Job:
        async with asyncio.timeout(60):
            # The store has no event for it.
            while (job := self.store.job("job")).state is not JobState.FINISHED:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        return job

    def problems(self) -> list[Any]:
        return [
            item.problem and item.problem["type"] for item in self.store.items("job", 0, 9, None)
        ]


def bodies(folder: Path) -> list[str]:
    """Files that hold a body, whole or not."""
    paths = [*folder.glob("*.body"), *(folder / "incoming").iterdir()]
    return [path.name for path in paths]


@asynccontextmanager
async def bench(
    tmp_path: Path, act: Act, pace: Pace = PACE, *, lease_s: float = 100
) -> AsyncIterator[Bench]:
    async def answer(
        data: bytes, media_type: str, question: JobQuestion
    ) -> tuple[bytes, bytes | None]:
        await act(data)
        return b"{}", None

    trade = Trade(answer, item_predictor.describe)
    store = Store(Database(f"sqlite:///{tmp_path / 'jobs.sqlite'}", 8), lease_s, 1000)
    spool, threads, heard = Spool(tmp_path, 0), Threads(8), Heard()
    store.prepare()
    spool.prepare()
    made = Bench(store, spool, Runner(store, spool, trade, pace, threads, heard), heard)
    working = asyncio.create_task(made.runner.run())
    try:
        yield made
    finally:
        made.runner.stop()
        await working
        threads.close()
        store.close()


@pytest.mark.parametrize(
    "error", [Overloaded("x"), NotReady("x"), BackendFailure("x"), RuntimeError("Doe^Jane")]
)
async def test_what_the_service_is_at_fault_for_is_tried_again(
    tmp_path: Path, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    errors = [error, error]

    async def act(_: bytes) -> None:
        if errors:
            raise errors.pop()

    async with bench(tmp_path, act) as made:
        made.accept([b"x"])
        job = await made.finished()
    assert (job.counts.succeeded, made.heard.outcomes) == (1, ["retried", "retried", "succeeded"])
    assert "Jane" not in caplog.text


async def test_tries_end(tmp_path: Path) -> None:
    async def act(_: bytes) -> None:
        raise Overloaded("x")

    async with bench(tmp_path, act) as made:
        made.accept([b"x"])
        job = await made.finished()
        assert made.problems() == ["urn:g2d:problem:overloaded"]
    assert (job.counts.failed, made.heard.outcomes) == (1, ["retried", "retried", "failed"])


@pytest.mark.parametrize("error", [MalformedInput("x"), RadiographError("x")])
async def test_what_the_client_is_at_fault_for_is_tried_once(
    tmp_path: Path, error: Exception
) -> None:
    async def act(data: bytes) -> None:
        if data == b"bad":
            raise error

    async with bench(tmp_path, act) as made:
        made.accept([b"bad", b"good", b"x" * 101])
        job = await made.finished()
        second, third = made.problems()[1:]
    assert (job.counts.failed, job.counts.succeeded) == (2, 1)
    assert (second, third) == (None, "urn:g2d:problem:input-too-large")
    assert sorted(made.heard.outcomes) == ["failed", "failed", "succeeded"]
    assert made.heard.jobs == [("finished", 3)]
    assert bodies(tmp_path) == []


async def test_no_more_is_under_way_than_may_be(tmp_path: Path) -> None:
    inside = most = 0

    async def act(_: bytes) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.001)
        inside -= 1

    async with bench(tmp_path, act) as made:
        made.accept([bytes([number]) for number in range(9)])
        await made.finished()
    assert most <= PACE.in_flight


async def test_an_item_that_ends_the_process_each_time_is_given_up(tmp_path: Path) -> None:
    async def act(_: bytes) -> None:
        raise AssertionError("must not be tried again")

    async with bench(tmp_path, act, replace(PACE, attempts=1, poll_s=1000)) as made:
        lost = Store(Database(f"sqlite:///{tmp_path / 'jobs.sqlite'}", 1), -1.0, 1000)
        await asyncio.sleep(0.05)  # the runner has found nothing and waits to be woken
        made.store.accept(new("job", 1))
        assert lost.claim() is not None
        lost.close()
        made.runner.wake()
        await made.finished()
        assert made.problems() == ["urn:g2d:problem:interrupted"]


async def test_what_is_under_way_when_it_stops_is_given_back(tmp_path: Path) -> None:
    reached = asyncio.Event()

    async def act(_: bytes) -> None:
        reached.set()
        await asyncio.Event().wait()

    async with bench(tmp_path, act, replace(PACE, stop_s=0.01)) as made:
        made.accept([b"x"])
        await asyncio.wait_for(reached.wait(), 60)
        made.runner.stop()
        async with asyncio.timeout(60):
            while made.store.job("job").counts.queued != 1:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.005)
        assert made.store.items("job", 0, 1, None)[0].attempts == 0


async def test_a_long_analysis_keeps_its_lease(tmp_path: Path) -> None:
    calls = 0

    async def act(_: bytes) -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(1.0)

    async with bench(tmp_path, act, lease_s=0.3) as made:
        made.accept([b"x"])
        job = await made.finished()
    assert (job.counts.succeeded, calls) == (1, 1)


async def test_leftovers_are_swept_and_what_is_waited_for_is_not(tmp_path: Path) -> None:
    async def act(_: bytes) -> None:
        await asyncio.Event().wait()

    async with bench(tmp_path, act, replace(PACE, stop_s=0.0)) as made:
        made.accept([b"x"])
        lost, half = made.spool.begin(), made.spool.begin()
        made.spool.keep(lost, "lost")
        lost.file.close()
        half.file.close()
        made.spool.sweep(1000, made.store.is_open)
        assert len(bodies(tmp_path)) == 3
        made.spool.sweep(-1000, made.store.is_open)
        assert bodies(tmp_path) == ["job.body"]
