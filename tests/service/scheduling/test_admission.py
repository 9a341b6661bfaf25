"""Admission is bounded by permits, by the memory for bodies, and by the expected wait."""

import asyncio
import threading
from concurrent.futures import Future

import pytest

from service.deadline import Deadline
from service.errors import ClientGone, DeadlineExceeded, Overloaded
from service.observability.observer import NullObserver
from service.scheduling.admission import Admission, ThroughputEstimate
from service.settings import BatchingSettings, LimitSettings

MEMORY = 10_000


class RefusalLog(NullObserver):
    """Observer that remembers why requests were refused."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def shed(self, reason: str) -> None:
        self.reasons.append(reason)


def build(refusals: RefusalLog, permits: int = 4, max_wait_s: float = 10) -> Admission:
    batching = BatchingSettings(workers=1, waiting=permits - 1, max_wait_s=max_wait_s)
    limits = LimitSettings(max_buffered_bytes=MEMORY, max_body_bytes=MEMORY)
    return Admission(batching, limits, refusals)


@pytest.fixture
def refusals() -> RefusalLog:
    return RefusalLog()


async def forever() -> None:
    await asyncio.Event().wait()


def test_throughput_is_the_time_between_completions_without_idle_time() -> None:
    throughput = ThroughputEstimate()
    assert throughput.seconds_per_request == 0
    throughput.record(started=100, completed=102)
    throughput.record(started=101, completed=103)
    assert throughput.seconds_per_request == 1.5
    throughput.record(started=1000, completed=1003)  # the service was idle before
    assert throughput.seconds_per_request == 2


async def test_requests_beyond_the_permits_are_refused(refusals: RefusalLog) -> None:
    admission = build(refusals, permits=2)
    with admission.acquire(Deadline(9), "a"), admission.acquire(Deadline(9), "a"):
        with pytest.raises(Overloaded, match="too many requests"):
            admission.acquire(Deadline(9), "a")
        admission.uncounted_permit(Deadline(9), "job")
    admission.acquire(Deadline(9), "a")
    assert refusals.reasons == ["places"]


async def test_a_permit_knows_whether_it_is_the_only_one(refusals: RefusalLog) -> None:
    admission = build(refusals)
    uncounted = admission.uncounted_permit(Deadline(9), "job")
    alone: list[tuple[bool, ...]] = [(uncounted.alone,)]
    with admission.acquire(Deadline(9), "a") as first:
        alone.append((uncounted.alone, first.alone))
        with admission.acquire(Deadline(9), "a") as second:
            alone.append((first.alone, second.alone))
        alone.append((uncounted.alone, first.alone))
    assert alone == [(True,), (False, True), (False, False), (False, True)]


@pytest.mark.parametrize(("deadline_s", "max_wait_s"), [(5.5, 10), (60, 5.5)])
async def test_a_request_that_would_wait_too_long_is_refused_with_a_time_to_retry(
    refusals: RefusalLog, deadline_s: float, max_wait_s: float
) -> None:
    admission = build(refusals, max_wait_s=max_wait_s)
    admission.throughput.record(started=0, completed=4)
    admission.check(Deadline(deadline_s))
    with admission.acquire(Deadline(9), "a"), admission.acquire(Deadline(60), "a"):
        with pytest.raises(Overloaded, match=r"8\.0 s") as refused:
            admission.check(Deadline(deadline_s))
        assert refused.value.retry_after_s == 3
    assert refusals.reasons == ["queue"]


async def test_memory_for_bodies_is_returned_exactly_once(refusals: RefusalLog) -> None:
    admission = build(refusals)
    with admission.memory() as body:
        body.take(6000)
        with admission.memory() as other, pytest.raises(Overloaded, match="request bodies"):
            other.take(6000)
        body.free()
        with admission.memory() as other:
            other.take(MEMORY)
    with admission.memory() as whole:
        whole.take(MEMORY)
    assert refusals.reasons == ["memory"]


async def test_a_permit_is_held_until_no_work_of_the_request_runs(refusals: RefusalLog) -> None:
    admission = build(refusals)
    running: list[Future[int]] = [Future(), Future()]
    for future in running:
        future.set_running_or_notify_cancel()
    queued: Future[int] = Future()
    with admission.acquire(Deadline(9), "a") as permit:
        for future in (*running, queued):
            permit.track(future)
    assert queued.cancelled()
    for number, future in enumerate(running):
        assert admission.active == 1
        threading.Thread(target=future.set_result, args=(number,)).start()
        for _ in range(10):
            await asyncio.to_thread(lambda: None)
    assert admission.active == 0


async def test_the_deadline_ends_the_work(refusals: RefusalLog) -> None:
    admission, deadline = build(refusals), Deadline(0.01)
    with admission.acquire(deadline, "a") as permit, pytest.raises(DeadlineExceeded):
        await permit.run_until_disconnect(forever(), forever)
    assert deadline.gone


async def test_a_client_that_leaves_ends_the_work(refusals: RefusalLog) -> None:
    admission, deadline = build(refusals), Deadline(60)
    with admission.acquire(deadline, "a") as permit, pytest.raises(ClientGone):
        await permit.run_until_disconnect(forever(), lambda: asyncio.sleep(0))
    assert deadline.gone
    assert admission.active == 0


async def test_an_error_of_the_work_is_raised_unchanged(refusals: RefusalLog) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    permit = build(refusals).acquire(Deadline(9), "a")
    with permit, pytest.raises(ZeroDivisionError):
        await permit.run_until_disconnect(fail(), forever)
