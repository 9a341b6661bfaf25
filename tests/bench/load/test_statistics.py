import pytest

from bench.load.statistics import (
    FAILED,
    Outcome,
    growth,
    percentile,
    ratio,
    server_timing,
    summarise,
)


def outcome(
    intended: float,
    done: float,
    status: int = 200,
    sent: float | None = None,
    retry_after: bool = False,
    note: str = "",
) -> Outcome:
    sent = intended if sent is None else sent
    return Outcome(intended, sent, done, status, retry_after=retry_after, note=note)


def test_percentile_is_a_value_that_was_measured() -> None:
    values = [float(i) for i in range(1, 101)]
    assert percentile(values, 50) == 50
    assert percentile(values, 99) == 99
    assert percentile(values, 100) == 100
    assert percentile([3.0, 1.0, 2.0], 50) == 2
    assert percentile([1.0, 9.0], 99) == 9
    assert percentile([], 99) == 0


def test_latency_counts_from_the_intended_start() -> None:
    late = outcome(intended=1.0, sent=3.0, done=3.5)
    assert late.latency_ms == pytest.approx(2500)
    assert late.lag_ms == pytest.approx(2000)


def test_a_stall_shows_in_the_percentiles_of_an_open_loop() -> None:
    """10 a second, 10 ms each, but nothing is answered between 2 s and 4 s."""
    outcomes = []
    for i in range(100):
        at = i / 10
        done = 4.01 if 2 <= at < 4 else at + 0.01
        outcomes.append(outcome(at, done, sent=max(at, done - 0.01)))
    summary = summarise(outcomes, (0, 10), 1.0)
    assert summary.p50_ms == pytest.approx(10)
    assert summary.p99_ms > 1800
    assert summary.lag_p99_ms > 1800
    assert summary.goodput == pytest.approx(9.0 - 0.1, abs=0.11)


def test_rates_count_what_ended_in_the_window() -> None:
    outcomes = [outcome(0.5, 1.5), outcome(1.5, 1.9), outcome(1.8, 2.5)]
    summary = summarise(outcomes, (1, 2), 60)
    assert summary.throughput == 2
    assert summary.requests == 2


def test_an_answer_after_the_limit_is_throughput_and_not_goodput() -> None:
    summary = summarise([outcome(0, 0.5), outcome(0, 3)], (0, 4), limit_s=1)
    assert summary.throughput == 0.5
    assert summary.goodput == 0.25


def test_refusals_and_failures_are_counted_apart() -> None:
    outcomes = [
        outcome(0, 0.01, 503, retry_after=True),
        outcome(0, 0.02, 429),
        outcome(0, 0.5, 500, note="broken"),
        outcome(0, 0.5, FAILED, note="reset"),
        outcome(0, 0.1),
    ]
    summary = summarise(outcomes, (0, 1), 1)
    assert (summary.refused, summary.without_retry_after, summary.failed) == (2, 1, 2)
    assert summary.refusal_p99_ms == pytest.approx(20)
    assert summary.failures == ("0 reset", "500 broken")


def test_no_requests_give_zeros() -> None:
    summary = summarise([], (0, 1), 1)
    assert (summary.throughput, summary.p99_ms, summary.refused) == (0, 0, 0)


def test_ratio_is_taken_round_by_round() -> None:
    """The machine halves its speed in the second round: the ratio stays."""
    found = ratio([10, 5, 10], [20, 10, 20])
    assert (found.median, found.low, found.high) == (0.5, 0.5, 0.5)
    assert str(found) == "0.50 (0.50 to 0.50)"


def test_a_round_without_answers_gives_no_ratio() -> None:
    with pytest.raises(ValueError, match="nothing was answered"):
        ratio([1, 1], [1, 0])


def test_growth_compares_the_ends_of_a_series() -> None:
    assert growth([100.0] * 50 + [105.0] * 50) == pytest.approx(0.05)
    assert growth([100.0]) == 0
    assert growth([100.0] * 45 + [900.0] * 10 + [100.0] * 45) == 0


def test_server_timing_is_read() -> None:
    assert server_timing("read;dur=1.5, total;dur=20") == {"read": 1.5, "total": 20.0}
    assert server_timing('cache;desc="hit", db;desc=x;dur="3"') == {"db": 3.0}
    assert server_timing("") == {}
