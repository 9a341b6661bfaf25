"""Buckets, quotas and attempts: what one client or one source may do, within bounded memory."""

import pytest

from service.auth import attempts, buckets
from service.auth.attempts import Attempts
from service.auth.buckets import Buckets
from service.auth.quota import Quota
from service.errors import TooManyRequests
from service.settings import ClientSettings


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    clock = Clock()
    found = Buckets(2.0, 3, clock)
    for _ in range(3):
        assert found.wait_s("a") == 0
        found.take("a")
    assert found.wait_s("a") == 0.5
    assert found.wait_s("b") == 0
    clock.now += 0.25
    assert found.wait_s("a") == 0.25
    clock.now += 1000
    for _ in range(3):
        found.take("a")
    assert found.wait_s("a") == 0.5


def test_an_empty_bucket_owes_nothing() -> None:
    found = Buckets(1.0, 1, Clock())
    for _ in range(100):
        found.take("a")
    assert found.wait_s("a") == 1.0


def test_the_number_of_buckets_is_bounded() -> None:
    found = Buckets(1.0, 1, Clock())
    for number in range(buckets.MAX_NAMES + 10):
        found.take(str(number))
    assert len(found._levels) == buckets.MAX_NAMES
    assert found.wait_s("0") == 0
    assert found.wait_s(str(buckets.MAX_NAMES)) == 1.0


def test_a_place_is_free_again_after_the_request_whatever_its_end() -> None:
    quota = Quota(ClientSettings(in_flight=1))

    def fail() -> None:
        with quota.admitted("a"), quota.admitted("b"):
            with pytest.raises(TooManyRequests), quota.admitted("a"):
                pytest.fail("admitted")
            raise ZeroDivisionError

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            fail()
    assert quota._in_flight == {}


def test_a_refusal_says_when_to_retry_and_counts_nothing() -> None:
    quota = Quota(ClientSettings(rate=0.1, burst=1))
    with quota.admitted("a"):
        pass
    with pytest.raises(TooManyRequests) as caught, quota.admitted("a"):
        pytest.fail("admitted")
    assert caught.value.retry_after_s == 10
    assert quota._in_flight == {}


def test_no_limit_is_set_by_default() -> None:
    assert not Quota(ClientSettings()).is_set
    assert Quota(ClientSettings(rate=1)).is_set
    assert Quota(ClientSettings(in_flight=1)).is_set


def test_a_source_of_wrong_tokens_is_slowed_and_others_are_not() -> None:
    found = Attempts()
    found.right(["Bearer good"])
    for number in range(attempts.BURST):
        found.check("192.0.2.1", [f"Bearer {number}"])
        found.wrong("192.0.2.1", [f"Bearer {number}"])
    with pytest.raises(TooManyRequests) as caught:
        found.check("192.0.2.1", ["Bearer next"])
    assert caught.value.retry_after_s == 6
    found.check("192.0.2.1", ["Bearer good"])
    found.check("192.0.2.2", ["Bearer next"])


def test_a_token_that_is_no_longer_right_is_forgotten() -> None:
    found = Attempts()
    found.right(["Bearer good"])
    for _ in range(attempts.BURST):
        found.wrong("192.0.2.1", ["Bearer good"])
    with pytest.raises(TooManyRequests):
        found.check("192.0.2.1", ["Bearer good"])


def test_an_address_within_one_ipv6_network_is_one_source() -> None:
    assert attempts.network("2001:db8:1:2::1") == attempts.network("2001:db8:1:2:ffff::")
    assert attempts.network("2001:db8:1:2::1") != attempts.network("2001:db8:1:3::1")
    assert attempts.network("::ffff:192.0.2.1") == attempts.network("192.0.2.1") == "192.0.2.1"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("10.1.2.3", "private"),
        ("fd00::1", "private"),
        ("::ffff:10.1.2.3", "private"),
        ("8.8.8.8", "public"),
        ("2606:4700::1", "public"),
        ("", "unknown"),
        ("testclient", "unknown"),
        ("1.2.3.4\n", "unknown"),
    ],
)
def test_the_kind_of_an_address_is_told_in_place_of_it(source: str, kind: str) -> None:
    assert attempts.kind(source) == kind
    assert (attempts.network(source) == "unknown") == (kind == "unknown")
