"""Full load and overload: goodput, refusals and latency of the liveness probe."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.load.generator import GeneratorProcess, Load, Target, generate
from bench.load.statistics import Outcome, Summary, percentile, summarise
from bench.reporting.checks import Check, at_least, at_most, none_of, not_measured
from bench.servers.ours import LIVE, targets

PROBES_IN_1_S = 20.0
FACTOR = 2.0
GOODPUT = 0.9
REFUSAL_MS = 50.0
LIVENESS_MS = 20.0
WARM_S = 2.0


def measure(
    port: int, files: Sequence[Path], clients: int, seconds: float, limit_s: float
) -> tuple[list[Check], dict[str, Any]]:
    """Measure the peak with a closed loop, then twice that rate with an open loop.

    Liveness is probed during both.

    Args:
        port: port of the service.
        files: files that are sent to `classify`.
        clients: clients of the closed loop.
        seconds: duration of each loop after its warm-up.
        limit_s: largest latency of an answer that counts as goodput.
    """
    asked = targets(["/v1/classify"], files)
    window = (WARM_S, WARM_S + seconds)
    full = Load(port, asked, clients=clients, seconds=window[1])
    peak, calm = _probed(full, window, limit_s)
    rate = FACTOR * max(peak.goodput, 0.1)
    flood = Load(port, asked, rate=rate, seconds=window[1])
    over, busy = _probed(flood, window, limit_s)
    figures = {
        "rate": rate,
        "limit_s": limit_s,
        "peak": peak.to_json(),
        "overload": over.to_json(),
        "liveness_ms": {"full": _probe_figures(calm), "overload": _probe_figures(busy)},
    }
    return [*_overload_checks(peak, over, rate, limit_s), _liveness(calm, busy)], figures


def _probed(
    load: Load, window: tuple[float, float], limit_s: float
) -> tuple[Summary, list[Outcome]]:
    """Run a load, and return its summary and the outcomes of the probes sent meanwhile."""
    probe = Load(
        load.port,
        (Target(LIVE, method="GET"),),
        rate=PROBES_IN_1_S,
        arrivals="fixed",
        seconds=window[1],
    )
    probing = GeneratorProcess(probe)
    summary = summarise(generate(load), window, limit_s)
    probes = [outcome for outcome in probing.outcomes() if outcome.intended_s >= window[0]]
    return summary, probes


def _overload_checks(peak: Summary, over: Summary, rate: float, limit_s: float) -> list[Check]:
    name = f"{FACTOR:g} x overload"
    offered = f"open loop, {rate:.1f} requests in 1 s, Poisson; good is within {limit_s:g} s"
    ratio = over.goodput / peak.goodput if peak.goodput else 0.0
    goodput = at_least(f"{name}: goodput / peak", ratio, GOODPUT, offered)
    refusals = f"{name}: time to refusal, p99"
    if over.refused:
        hinted = f"{over.refused} of {over.requests} refused"
        quick = at_most(refusals, over.refusal_p99_ms, REFUSAL_MS, "ms", hinted)
    else:
        quick = not_measured(refusals, f"at most {REFUSAL_MS:g} ms", "nothing was refused")
    unhinted = none_of(
        f"{name}: refusals", "refusal without Retry-After", over.without_retry_after, over.refused
    )
    failed = none_of(
        f"{name}: failures",
        "failed request",
        over.failed,
        over.requests,
        "; ".join(over.failures),
    )
    return [goodput, quick, unhinted, failed]


def _liveness(calm: Sequence[Outcome], busy: Sequence[Outcome]) -> Check:
    worst = max((calm, busy), key=lambda probes: _probe_figures(probes)["p99"])
    figures = _probe_figures(worst)
    note = (
        f"the worse of full load and overload, {PROBES_IN_1_S:g} probes in 1 s; median "
        f"{figures['p50']:.1f}, longest {figures['max']:.1f} ms"
    )
    unanswered = sum(not probe.answered for probe in (*calm, *busy))
    if unanswered:
        return none_of("liveness", "unanswered probe", unanswered, len(calm) + len(busy), note)
    return at_most("liveness at full load, p99", figures["p99"], LIVENESS_MS, "ms", note)


def _probe_figures(probes: Sequence[Outcome]) -> dict[str, float]:
    latencies = [probe.latency_ms for probe in probes]
    return {
        "p50": percentile(latencies, 50),
        "p99": percentile(latencies, 99),
        "max": max(latencies, default=0.0),
    }
