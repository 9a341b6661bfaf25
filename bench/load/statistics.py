"""Figures: what the generator recorded -> throughput, percentiles, refusals.

Latency is counted from when a request was meant to start, not from when it was sent: a
generator that falls behind its schedule (coordinated omission) makes latencies longer,
never the sample smaller.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus

REFUSALS = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
FAILED = 0
"""Stands for a status where no answer came."""


@dataclass(frozen=True)
class Outcome:
    """One request.

    Attributes:
        intended_s, sent_s, done_s: seconds from the start of the run.
        status: of the answer, or `FAILED`.
        retry_after: whether the answer said when to come again.
        total_ms: what the service's Server-Timing gives as its total, or None.
        note: what was wrong, or what the answer said of the model.
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
        """From when it was meant to start."""
        return (self.done_s - self.intended_s) * 1e3

    @property
    def lag_ms(self) -> float:
        """How late the generator was."""
        return (self.sent_s - self.intended_s) * 1e3

    @property
    def answered(self) -> bool:
        """With what was asked for."""
        return self.status == HTTPStatus.OK

    @property
    def refused(self) -> bool:
        """With `come again later`."""
        return self.status in REFUSALS


@dataclass(frozen=True)
class Summary:
    """Figures of one run, within its window.

    Attributes:
        requests: that were meant to start in the window.
        throughput: answers in each second of the window.
        goodput: those of them that came within the limit.
        p50_ms, p95_ms, p99_ms: latency of the answers; 0 when there were none.
        refused: requests answered with 429 or 503.
        refusal_p99_ms: latency of those.
        without_retry_after: those that did not say when to come again.
        failed: all others: another status, or no answer.
        lag_p99_ms: of the generator.
        failures: up to three of their reasons.
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
        """As JSON."""
        return asdict(self)


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest rank: the smallest value that `percent` of the values do not exceed.

    No interpolation: what is given has been measured. 0 for no values.
    """
    if not values:
        return 0.0
    rank = math.ceil(percent / 100 * len(values))
    return sorted(values)[max(1, rank) - 1]


def summarise(
    outcomes: Sequence[Outcome], window_s: tuple[float, float], limit_s: float
) -> Summary:
    """Figures of what was meant to start, or ended, between the two seconds of the window.

    Rates count what ended inside it; percentiles and counts what was meant to start inside.
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
    """A ratio of two things measured in the same rounds: median and spread."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Round by round, so that what slows a whole round down cancels out.

    Raises:
        ValueError: in some round there was nothing to compare with.
    """
    if not all(theirs):
        raise ValueError("nothing was answered in some round")
    values = [a / b for a, b in zip(ours, theirs, strict=True)]
    return Ratio(statistics.median(values), min(values), max(values))


def growth(samples: Sequence[float]) -> float:
    """By which share the last tenth of a series is above its first tenth (medians)."""
    tenth = max(1, len(samples) // 10)
    first, last = statistics.median(samples[:tenth]), statistics.median(samples[-tenth:])
    return last / first - 1


def server_timing(header: str) -> dict[str, float]:
    """A Server-Timing header -> milliseconds by stage; what has no duration is left out."""
    stages = {}
    for item in header.split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip().lower() == "dur" and name:
                stages[name] = float(value.strip().strip('"'))
    return stages
