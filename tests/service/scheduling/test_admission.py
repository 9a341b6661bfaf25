"""Admission is bounded by permits, by the memory for bodies, and by the expected wait."""

import asyncio
import threading
from concurrent.futures import CancelledError, Future

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


async def test_a_client_with_less_than_its_share_finds_a_permit(refusals: RefusalLog) -> None:
    admission = build(refusals, permits=4)
    for _ in range(4):
        admission.acquire(Deadline(9), "a", client="many")
    with pytest.raises(Overloaded):
        admission.acquire(Deadline(9), "a", client="many")
    with admission.acquire(Deadline(9), "a", client="one"):
        with pytest.raises(Overloaded):
            admission.acquire(Deadline(9), "a", client="one")
        with pytest.raises(Overloaded):
            admission.acquire(Deadline(9), "a", client="another")
    admission.acquire(Deadline(9), "a", client="another")


async def test_a_client_does_not_wait_for_all_requests_of_another(refusals: RefusalLog) -> None:
    admission = build(refusals, permits=9, max_wait_s=5)
    admission.throughput.record(started=0, completed=1)
    for _ in range(6):
        admission.acquire(Deadline(9), "a", client="many")
    assert (admission.expected_wait_s("many"), admission.expected_wait_s("one")) == (6, 1)
    with pytest.raises(Overloaded, match=r"about 6\.0 s"):
        admission.check(Deadline(9), "many")
    admission.acquire(Deadline(9), "a", client="one")
    assert admission.expected_wait_s("one") == 3


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


async def test_work_goes_on_while_the_event_loop_is_busy(refusals: RefusalLog) -> None:
    first: Future[int] = Future()
    with build(refusals).acquire(Deadline(9), "a") as permit:
        chain = permit.then(permit.track(first), lambda n: permit.submit(lambda: n + 1))
        threading.Thread(target=first.set_result, args=(1,)).start()
        assert chain.result(timeout=60) == 2  # blocks the event loop


@pytest.mark.parametrize("failing", ["first", "start", "second"])
async def test_an_error_of_either_piece_of_work_is_passed_on(
    failing: str, refusals: RefusalLog
) -> None:
    pieces: dict[str, Future[int]] = {"first": Future(), "second": Future()}

    def start(_: int) -> Future[int]:
        if failing == "start":
            raise ZeroDivisionError
        return pieces["second"]

    with build(refusals).acquire(Deadline(9), "a") as permit:
        chain = permit.then(permit.track(pieces["first"]), start)
        if failing != "first":
            pieces["first"].set_result(1)
        if failing != "start":
            pieces[failing].set_exception(ZeroDivisionError())
        with pytest.raises(ZeroDivisionError):
            await permit.wait(chain)


async def test_a_permit_is_held_until_a_second_piece_of_work_has_ended(
    refusals: RefusalLog,
) -> None:
    admission = build(refusals)
    first: Future[int] = Future()
    second: Future[int] = Future()
    second.set_running_or_notify_cancel()
    with admission.acquire(Deadline(9), "a") as permit:
        permit.then(permit.track(first), lambda _: second)
        first.set_result(1)
    assert admission.active == 1
    second.set_result(1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert admission.active == 0


async def test_no_second_piece_of_work_starts_once_the_request_is_over(
    refusals: RefusalLog,
) -> None:
    admission = build(refusals)
    first: Future[int] = Future()
    first.set_running_or_notify_cancel()
    with admission.acquire(Deadline(9), "a") as permit:
        chain: Future[int] = permit.then(permit.track(first), lambda _: pytest.fail("started"))
    assert admission.active == 1
    first.set_result(1)
    assert isinstance(chain.exception(), ClientGone)
    for _ in range(3):
        await asyncio.sleep(0)
    assert admission.active == 0


async def test_work_that_is_queued_while_its_permit_ends_is_cancelled(
    refusals: RefusalLog,
) -> None:
    admission = build(refusals)
    first: Future[int] = Future()
    queued: Future[int] = Future()
    permit = admission.acquire(Deadline(9), "a")

    def start(_: int) -> Future[int]:
        permit.__exit__(None)  # the client leaves at this moment
        return queued

    chain = permit.then(permit.track(first), start)
    first.set_result(1)
    assert queued.cancelled()
    assert isinstance(chain.exception(), CancelledError)
    await asyncio.sleep(0)
    assert admission.active == 0


async def test_no_second_piece_of_work_starts_once_the_first_is_cancelled(
    refusals: RefusalLog,
) -> None:
    admission = build(refusals)
    queued: Future[int] = Future()
    with admission.acquire(Deadline(9), "a") as permit:
        chain: Future[int] = permit.then(permit.track(queued), lambda _: pytest.fail("started"))
    assert queued.cancelled()
    assert isinstance(chain.exception(), CancelledError)
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
