"""`Retries`: `Retry-After` is obeyed, and waits grow without it."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from g2d.client.retries import Retries, retry_after_s

BUSY = httpx.Response(503)


def asking(value: str, status: int = 503) -> httpx.Response:
    return httpx.Response(status, headers={"Retry-After": value})


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0), ("7", 7), (" 2.5 ", 2.5), ("-3", 0), ("soon", None), ("", None), ("nan", None),
     ("inf", None), ("1e400", None), ("Mon, 99 Foo", None),
     ("Sun, 06 Nov 1994 08:49:37 GMT", 0), ("Sun, 06 Nov 1994 08:49:37 -0000", 0)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after_s(asking(value)) == seconds


def test_a_date_to_come_is_waited_for() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    seconds = retry_after_s(asking(date))
    assert seconds is not None
    assert 25 < seconds <= 30


def test_what_the_service_asks_for_is_obeyed_up_to_a_limit() -> None:
    retries = Retries(longest_wait_s=10)
    assert retries.wait_s(1, asking("10")) == 10
    assert retries.wait_s(1, asking("11")) is None
    assert retries.wait_s(1, asking("3", 429)) == 3


def test_waits_double_up_to_the_longest() -> None:
    retries = Retries(times=9, first_wait_s=1, longest_wait_s=5)
    for done, ceiling in [(1, 1), (2, 2), (3, 4), (4, 5), (9, 5)]:
        wait_s = retries.wait_s(done, BUSY)
        assert wait_s is not None
        assert ceiling / 2 <= wait_s <= ceiling


@pytest.mark.parametrize("status", [200, 301, 400, 401, 404, 408, 413, 500, 504])
def test_other_answers_are_final(status: int) -> None:
    assert Retries().wait_s(1, httpx.Response(status)) is None


def test_attempts_end() -> None:
    assert Retries(times=2).wait_s(2, BUSY) is not None
    assert Retries(times=2).wait_s(3, BUSY) is None
    assert Retries(times=0).wait_s(1, BUSY) is None
    assert Retries().wait_s(1, httpx.ReadTimeout("late")) is None
    assert Retries().wait_s(1, httpx.ConnectError("refused")) is not None
