"""Least rate of an upload: the slow are given up, and a burst pays for no long silence."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from service.api.uploads import job_upload
from service.api.uploads.least_rate import LeastRate
from service.errors import BodyTimeout
from service.settings import Settings


def arrivals(sizes: list[tuple[float, int]]) -> float | None:
    """Return the time at which an upload of 1000 bytes/s with 30 s of grace is given up."""
    rate = LeastRate(bytes_per_s=1000, grace_s=30, now=0)
    for now, size in sizes:
        if now > rate.due:
            return rate.due
        rate.receive(size, now)
    return None


def test_one_byte_now_and_then_is_given_up_after_the_grace_period() -> None:
    assert arrivals([(20.0 * n, 1) for n in range(10)]) == pytest.approx(30, abs=0.01)


def test_a_burst_does_not_pay_for_a_silence() -> None:
    assert arrivals([(1, 10_000_000), (40, 1)]) == 31


def test_a_slow_but_steady_upload_arrives() -> None:
    assert arrivals([(1.0 * n, 1000) for n in range(3000)]) is None


def test_a_pause_within_the_grace_period_does_no_harm() -> None:
    assert arrivals([(0, 100_000), (29, 100_000), (58, 100_000)]) is None


def test_the_time_that_the_service_takes_does_not_count() -> None:
    rate = LeastRate(bytes_per_s=1000, grace_s=30, now=0)
    rate.receive(10, now=1)
    rate.pause(100)
    assert rate.due == pytest.approx(130, abs=0.1)


async def test_a_body_that_trickles_in_is_given_up() -> None:
    async def trickle() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0)

    settings = Settings.of(body_timeout_s=0.05, jobs_bytes_per_s=10**9)
    with pytest.raises(BodyTimeout):
        async for _ in job_upload._timed(trickle(), settings):
            pass
