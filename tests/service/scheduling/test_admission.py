"""Who is let in: by places, by memory, and by how long they would wait."""

import asyncio
import threading
from concurrent.futures import Future

import pytest

from service.deadline import Deadline
from service.errors import ClientGone, DeadlineExceeded, Overloaded
from service.observability.observer import NullObserver
from service.scheduling.admission import Admission, AdmissionLimits, ThroughputEstimate


class Watching(NullObserver):
    """Remembers why requests were refused."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def shed(self, reason: str) -> None:
        self.told.append(reason)


def admission(watching: Watching, places: int = 4, max_wait_s: float = 10) -> Admission:
    return Admission(AdmissionLimits(places, max_bytes=100, max_wait_s=max_wait_s), watching)


@pytest.fixture
def watching() -> Watching:
    return Watching()


async def forever() -> None:
    await asyncio.Event().wait()


def test_the_pace_is_the_time_between_two_that_leave_while_somebody_is_inside() -> None:
    pace = ThroughputEstimate()
    assert pace.seconds_each == 0
    pace.done(entered=100, now=102)
    pace.done(entered=101, now=103)
    assert pace.seconds_each == 1.5
    pace.done(entered=1000, now=1003)  # nobody was inside before
    assert pace.seconds_each == 2


async def test_more_than_there_are_places_are_refused(watching: Watching) -> None:
    inside = admission(watching, places=2)
    with inside.enter(Deadline(9), "a"), inside.enter(Deadline(9), "a"):
        with pytest.raises(Overloaded, match="every place"):
            inside.enter(Deadline(9), "a")
        inside.aside(Deadline(9), "job")
    inside.enter(Deadline(9), "a")
    assert watching.told == ["places"]


async def test_a_request_knows_whether_it_is_alone(watching: Watching) -> None:
    inside = admission(watching)
    aside = inside.aside(Deadline(9), "job")
    seen: list[tuple[bool, ...]] = [(aside.alone,)]
    with inside.enter(Deadline(9), "a") as first:
        seen.append((aside.alone, first.alone))
        with inside.enter(Deadline(9), "a") as second:
            seen.append((first.alone, second.alone))
        seen.append((aside.alone, first.alone))
    assert seen == [(True,), (False, True), (False, False), (False, True)]


@pytest.mark.parametrize(("deadline_s", "max_wait_s"), [(5.5, 10), (60, 5.5)])
async def test_who_would_wait_too_long_is_refused_and_told_when_to_come_again(
    watching: Watching, deadline_s: float, max_wait_s: float
) -> None:
    inside = admission(watching, max_wait_s=max_wait_s)
    inside.pace.done(entered=0, now=4)
    inside.check(Deadline(deadline_s))
    with inside.enter(Deadline(9), "a"), inside.enter(Deadline(60), "a"):
        with pytest.raises(Overloaded, match=r"8\.0 s") as refused:
            inside.check(Deadline(deadline_s))
        assert refused.value.retry_after_s == 3
    assert watching.told == ["queue"]


async def test_memory_for_bodies_comes_back_once(watching: Watching) -> None:
    inside = admission(watching)
    with inside.memory() as body:
        body.take(60)
        with inside.memory() as other, pytest.raises(Overloaded):
            other.take(60)
        body.free()
        with inside.memory() as other:
            other.take(100)
    with inside.memory() as whole:
        whole.take(100)
    assert watching.told == ["memory"]


async def test_a_place_is_kept_until_nothing_runs_for_it(watching: Watching) -> None:
    inside = admission(watching)
    running: list[Future[int]] = [Future(), Future()]
    for future in running:
        future.set_running_or_notify_cancel()
    queued: Future[int] = Future()
    with inside.enter(Deadline(9), "a") as place:
        for future in (*running, queued):
            place.follow(future)
    assert queued.cancelled()
    for number, future in enumerate(running):
        assert inside.taken == 1
        threading.Thread(target=future.set_result, args=(number,)).start()
        for _ in range(10):
            await asyncio.to_thread(lambda: None)
    assert inside.taken == 0


async def test_the_deadline_ends_the_work(watching: Watching) -> None:
    inside, deadline = admission(watching), Deadline(0.01)
    with inside.enter(deadline, "a") as place, pytest.raises(DeadlineExceeded):
        await place.within(forever(), forever)
    assert deadline.gone


async def test_a_client_that_leaves_ends_the_work(watching: Watching) -> None:
    inside, deadline = admission(watching), Deadline(60)
    with inside.enter(deadline, "a") as place, pytest.raises(ClientGone):
        await place.within(forever(), lambda: asyncio.sleep(0))
    assert deadline.gone
    assert inside.taken == 0


async def test_an_error_of_the_work_is_raised_as_it_is(watching: Watching) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with admission(watching).enter(Deadline(9), "a") as place, pytest.raises(ZeroDivisionError):
        await place.within(fail(), forever)
