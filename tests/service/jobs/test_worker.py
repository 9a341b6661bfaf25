"""The job worker: retries, failures, leases, and a stop in the middle of an item."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from radiograph.errors import MalformedInput, RadiographError
from service.api.http.problems import describe_error
from service.dataplane.predictor import EncodedPrediction
from service.dataplane.response_encoding import JSON
from service.errors import (
    BackendFailure,
    DecodersLost,
    JobsUnavailable,
    NotReady,
    Overloaded,
    StorageFull,
)
from service.inference.results import ModelIdentity
from service.jobs.clock_watch import ClockWatch
from service.jobs.item_predictor import ItemPredictor
from service.jobs.job import Contents, Job, JobQuery, JobState, Piece
from service.jobs.storage.schema import PURPOSE
from service.jobs.storage.spool import Spool
from service.jobs.storage.store import Store
from service.jobs.thread_pool import JobThreads
from service.jobs.worker import JobWorker, WorkerTiming
from service.observability.observer import NullObserver
from service.settings import Settings
from service.storage.database import Database
from tests.service.jobs.storage.test_store import new

IN_FLIGHT = 2
SETTINGS = Settings.of(jobs_in_flight=IN_FLIGHT, jobs_attempts=3, max_body_bytes=1024)
TIMING = WorkerTiming(poll_s=0.01, backoff_s=0.0, storage_s=0.01)
Act = Callable[[bytes], Awaitable[None]]


@dataclass
class RecordingObserver(NullObserver):
    """An observer that records its events."""

    jobs: list[tuple[str, int]] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    orphans: dict[str, int] = field(default_factory=dict)

    def job(self, change: str, items: int) -> None:
        self.jobs.append((change, items))

    def job_orphans(self, kind: str, count: int) -> None:
        self.orphans[kind] = count

    def job_item(self, outcome: str, seconds: float) -> None:
        self.outcomes.append(outcome)


class ScriptedPredictor(ItemPredictor):
    """Runs a function of the test on each file instead of a model."""

    def __init__(self, act: Act) -> None:
        self._act = act

    async def predict(self, data: bytes, media_type: str, query: JobQuery) -> EncodedPrediction:
        await self._act(data)
        return EncodedPrediction(b"{}", JSON, ModelIdentity("tiny", 1, "0" * 64), {})

    def release_idle(self) -> None:
        pass


@dataclass
class Bench:
    """A worker around a scripted predictor."""

    store: Store
    spool: Spool
    worker: JobWorker
    observer: RecordingObserver

    def accept(self, bodies: list[bytes]) -> None:
        """Accept the job `job`, as the job service would."""
        incoming, pieces, start = self.spool.begin(), [], 0
        for position, body in enumerate(bodies, 1):
            incoming.write(body)
            size = len(body)
            pieces.append(Piece(position, start, size, size, False, None, "image/png"))
            start += size
        self.spool.keep(incoming, "job")
        incoming.discard()
        self.store.accept(replace(new("job", 1), contents=Contents(tuple(pieces))))
        self.worker.wake()

    async def finished(self) -> Job:
        async with asyncio.timeout(60):
            # The store has no event to wait for.
            while (job := self.store.job("job")).state is not JobState.FINISHED:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        return job

    def problems(self) -> list[Any]:
        return [
            item.problem and item.problem["type"] for item in self.store.items("job", 0, 9, None)
        ]


def bodies(folder: Path) -> list[str]:
    """Return the names of the files that contain a body, complete or not."""
    paths = [*folder.glob("*.body"), *(folder / "incoming").iterdir()]
    return [path.name for path in paths]


@asynccontextmanager
async def bench(
    tmp_path: Path,
    act: Act,
    settings: Settings = SETTINGS,
    timing: WorkerTiming = TIMING,
    *,
    lease_s: float = 100,
    keep_s: float = 1000,
    clocks: ClockWatch | None = None,
) -> AsyncIterator[Bench]:
    store = Store(Database(f"sqlite:///{tmp_path / 'jobs.sqlite'}", 8, PURPOSE), lease_s, keep_s)
    spool, threads, observer = Spool(tmp_path, 0), JobThreads(8), RecordingObserver()
    store.prepare()
    spool.prepare()
    predictor = ScriptedPredictor(act)
    worker = JobWorker(
        store, spool, predictor, describe_error, settings, threads, observer, timing, clocks
    )
    made = Bench(store, spool, worker, observer)
    working = asyncio.create_task(worker.run())
    try:
        yield made
    finally:
        made.worker.stop()
        await working
        threads.close()
        store.close()


@pytest.mark.parametrize(
    "error",
    [
        Overloaded("x"),
        NotReady("x"),
        BackendFailure("x"),
        DecodersLost("x"),
        RuntimeError("Doe^Jane"),
    ],
)
async def test_an_error_of_the_service_is_retried(
    tmp_path: Path, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    errors = [error, error]

    async def act(_: bytes) -> None:
        if errors:
            raise errors.pop()

    async with bench(tmp_path, act) as made:
        made.accept([b"x"])
        job = await made.finished()
    assert (job.counts.succeeded, made.observer.outcomes) == (
        1,
        ["retried", "retried", "succeeded"],
    )
    assert "Jane" not in caplog.text


async def test_attempts_are_limited(tmp_path: Path) -> None:
    async def act(_: bytes) -> None:
        raise Overloaded("x")

    async with bench(tmp_path, act) as made:
        made.accept([b"x"])
        job = await made.finished()
        assert made.problems() == ["urn:g2d:problem:overloaded"]
    assert (job.counts.failed, made.observer.outcomes) == (1, ["retried", "retried", "failed"])


@pytest.mark.parametrize("error", [MalformedInput("x"), RadiographError("x")])
async def test_an_error_of_the_client_is_not_retried(tmp_path: Path, error: Exception) -> None:
    async def act(data: bytes) -> None:
        if data == b"bad":
            raise error

    async with bench(tmp_path, act) as made:
        made.accept([b"bad", b"good", b"x" * 1025])
        job = await made.finished()
        second, third = made.problems()[1:]
    assert (job.counts.failed, job.counts.succeeded) == (2, 1)
    assert (second, third) == (None, "urn:g2d:problem:input-too-large")
    assert sorted(made.observer.outcomes) == ["failed", "failed", "succeeded"]
    assert made.observer.jobs == [("finished", 3)]
    assert bodies(tmp_path) == []


async def test_concurrent_items_are_limited(tmp_path: Path) -> None:
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
    assert most <= IN_FLIGHT


async def test_an_item_that_ends_the_process_in_every_attempt_fails(tmp_path: Path) -> None:
    async def act(_: bytes) -> None:
        raise AssertionError("must not be tried again")

    async with bench(
        tmp_path, act, SETTINGS.changed(jobs_attempts=1), replace(TIMING, poll_s=1000)
    ) as made:
        lost = Store(Database(f"sqlite:///{tmp_path / 'jobs.sqlite'}", 1, PURPOSE), -1.0, 1000)
        await asyncio.sleep(0.05)  # the worker has found nothing and waits to be woken
        made.store.accept(new("job", 1))
        assert lost.claim() is not None
        lost.close()
        made.worker.wake()
        await made.finished()
        assert made.problems() == ["urn:g2d:problem:interrupted"]


async def test_an_item_that_is_running_at_the_stop_returns_to_the_queue(tmp_path: Path) -> None:
    reached = asyncio.Event()

    async def act(_: bytes) -> None:
        reached.set()
        await asyncio.Event().wait()

    async with bench(tmp_path, act, timing=replace(TIMING, stop_s=0.01)) as made:
        made.accept([b"x"])
        await asyncio.wait_for(reached.wait(), 60)
        made.worker.stop()
        async with asyncio.timeout(60):
            while made.store.job("job").counts.queued != 1:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.005)
        assert made.store.items("job", 0, 1, None)[0].attempts == 0


async def test_the_lease_of_a_long_prediction_is_renewed(tmp_path: Path) -> None:
    calls = 0

    async def act(_: bytes) -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(1.0)

    async with bench(tmp_path, act, lease_s=0.3) as made:
        made.accept([b"x"])
        job = await made.finished()
    assert (job.counts.succeeded, calls) == (1, 1)


async def test_orphaned_bodies_are_removed_and_bodies_of_open_jobs_are_kept(tmp_path: Path) -> None:
    async def act(_: bytes) -> None:
        await asyncio.Event().wait()

    async with bench(tmp_path, act, timing=replace(TIMING, stop_s=0.0)) as made:
        made.accept([b"x"])
        lost, half = made.spool.begin(), made.spool.begin()
        made.spool.keep(lost, "lost")
        lost.file.close()
        half.file.close()
        made.spool.sweep(1000, made.store.open_jobs())
        assert len(bodies(tmp_path)) == 3
        made.spool.sweep(-1000, made.store.open_jobs())
        assert bodies(tmp_path) == ["job.body"]


async def answered(_: bytes) -> None:
    """Answer any file."""


@pytest.mark.parametrize("error", [StorageFull("x"), JobsUnavailable("x")])
@pytest.mark.parametrize("call", ["succeed", "fail", "retry"])
async def test_an_outcome_that_cannot_be_stored_is_kept_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: Exception
) -> None:
    acts, failures = 0, [error, error, error]

    async def act(_: bytes) -> None:
        nonlocal acts
        acts += 1
        if call == "fail" or (call == "retry" and acts == 1):
            raise MalformedInput("x") if call == "fail" else Overloaded("x")

    def failing(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return stored(*arguments)

    async with bench(tmp_path, act) as made:
        stored = getattr(made.store, call)
        monkeypatch.setattr(made.store, call, failing)
        made.accept([b"x"])
        job = await made.finished()
        (item,) = made.store.items("job", 0, 1, None)
    assert (failures, acts, item.attempts) == ([], *((2, 2) if call == "retry" else (1, 1)))
    assert (job.counts.succeeded, job.counts.failed) == ((0, 1) if call == "fail" else (1, 0))


@pytest.mark.parametrize("trusted", [False, True])
async def test_jobs_expire_only_by_clocks_that_are_trusted(
    tmp_path: Path, *, trusted: bool
) -> None:
    clocks = ClockWatch(0.0 if trusted else 3600.0)
    async with bench(tmp_path, answered, keep_s=-1, clocks=clocks) as made:
        made.accept([b"x"])
        await made.finished()
        made.worker.sweep()
        assert len(made.store.latest(1)) == (0 if trusted else 1)
    assert (("deleted", 1) in made.observer.jobs) == trusted


async def test_orphans_are_counted_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def never(_: bytes) -> None:
        await asyncio.Event().wait()

    async with bench(tmp_path, never, timing=replace(TIMING, stop_s=0.0)) as made:
        made.accept([b"x"])
        made.worker.sweep()
        assert made.observer.orphans == {"body": 0, "job": 0}
        (tmp_path / "job.body").rename(tmp_path / "other.body")
        os.utime(tmp_path / "other.body", (0, 0))
        made.worker.sweep()
        assert made.observer.orphans == {"body": 1, "job": 1}
    assert "1 files without a job, 1 jobs without their files" in caplog.text
