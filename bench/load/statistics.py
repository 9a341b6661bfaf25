"""Statistics of a load: throughput, latency percentiles and refusals.

Latency counts from the intended start of a request, not from the moment it was sent. A generator
that falls behind its schedule therefore makes latencies longer, and does not omit the slow requests
(coordinated omission).
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus

REFUSALS = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
FAILED = 0
"""Status of a request without a response."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of one request.

    Attributes:
        intended_s: intended start, in seconds from the start of the run.
        sent_s: actual start.
        done_s: end of the response.
        status: HTTP status, or `FAILED`.
        retry_after: True if the response has a Retry-After header.
        total_ms: total of the Server-Timing header, or None.
        note: reason of a failure, or identity of the model that answered.
    """

    intended_s: float
    sent_s: float
    done_s: float
    status: int
    retry_after: bool = False
    total_ms: float | None = None
    note: str = ""

    @property
    def latency_ms(self) -> float:
        """Milliseconds from the intended start to the end of the response."""
        return (self.done_s - self.intended_s) * 1e3

    @property
    def lag_ms(self) -> float:
        """Milliseconds by which the generator was late."""
        return (self.sent_s - self.intended_s) * 1e3

    @property
    def answered(self) -> bool:
        """True if the request was answered with 200."""
        return self.status == HTTPStatus.OK

    @property
    def refused(self) -> bool:
        """True if the request was refused with 429 or 503."""
        return self.status in REFUSALS


@dataclass(frozen=True)
class Summary:
    """Statistics of one load within its time window.

    Attributes:
        requests: requests with intended start in the window.
        throughput: answers per second of the window.
        goodput: answers per second with a latency within the limit.
        p50_ms, p95_ms, p99_ms: latency of the answers; 0 without answers.
        refused: requests refused with 429 or 503.
        refusal_p99_ms: latency of the refusals.
        without_retry_after: refusals without a Retry-After header.
        failed: all other requests: another status, or no response.
        lag_p99_ms: lateness of the generator.
        failures: up to three reasons of failures.
    """

    requests: int
    throughput: float
    goodput: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    refused: int
    refusal_p99_ms: float
    without_retry_after: int
    failed: int
    lag_p99_ms: float
    failures: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return the fields as a JSON object."""
        return asdict(self)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile: the smallest value that `percent` do not exceed.

    There is no interpolation, so that the result is a measured value. It is 0 without values.
    """
    if not values:
        return 0.0
    rank = math.ceil(percent / 100 * len(values))
    return sorted(values)[max(1, rank) - 1]


def summarise(
    outcomes: Sequence[Outcome], window_s: tuple[float, float], limit_s: float
) -> Summary:
    """Summarise the outcomes within a time window.

    Rates count requests that ended in the window; percentiles and counts are over requests whose
    intended start lies in it.

    Args:
        outcomes: outcomes of one load.
        window_s: start and end of the window, in seconds from the start of the run.
        limit_s: largest latency of an answer that counts as goodput.
    """
    begin, end = window_s
    ended = [o for o in outcomes if o.answered and begin <= o.done_s < end]
    begun = [o for o in outcomes if begin <= o.intended_s < end]
    answered = [o.latency_ms for o in begun if o.answered]
    refused = [o for o in begun if o.refused]
    failed = [o for o in begun if not o.answered and not o.refused]
    return Summary(
        requests=len(begun),
        throughput=len(ended) / (end - begin),
        goodput=sum(o.latency_ms <= limit_s * 1e3 for o in ended) / (end - begin),
        p50_ms=percentile(answered, 50),
        p95_ms=percentile(answered, 95),
        p99_ms=percentile(answered, 99),
        refused=len(refused),
        refusal_p99_ms=percentile([o.latency_ms for o in refused], 99),
        without_retry_after=sum(not o.retry_after for o in refused),
        failed=len(failed),
        lag_p99_ms=percentile([o.lag_ms for o in begun], 99),
        failures=tuple(sorted({f"{o.status} {o.note}".strip() for o in failed}))[:3],
    )


@dataclass(frozen=True)
class Ratio:
    """Ratio of two rates measured in the same rounds: median, lowest and highest."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Return the ratio, taken round by round so that a slow round cancels out.

    Raises:
        ValueError: the second rate is 0 in some round.
    """
    if not all(theirs):
        raise ValueError("nothing was answered in some round")
    values = [a / b for a, b in zip(ours, theirs, strict=True)]
    return Ratio(statistics.median(values), min(values), max(values))


def growth(samples: Sequence[float]) -> float:
    """Return the relative growth from the first to the last tenth of a series, by medians."""
    tenth = max(1, len(samples) // 10)
    first, last = statistics.median(samples[:tenth]), statistics.median(samples[-tenth:])
    return last / first - 1


def server_timing(header: str) -> dict[str, float]:
    """Return the milliseconds of each stage of a Server-Timing header that states a duration."""
    stages = {}
    for item in header.split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip().lower() == "dur" and name:
                stages[name] = float(value.strip().strip('"'))
    return stages
