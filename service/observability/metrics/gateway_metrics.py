"""Metrics of the gateway, counted for Prometheus in a registry of their own.

Label values are outcomes, states, and the names of peers in the configuration: never an
identifier, an AE title of a caller, or content of an instance.
"""

from collections.abc import Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120)


class GatewayMetrics:
    """Counts events of the gateway. Safe to call from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self._associations = Counter(
            "g2d_gateway_associations",
            "Associations that peers requested, by outcome.",
            ("outcome",),
            registry=registry,
        )
        self._received = Counter(
            "g2d_gateway_received",
            "Instances received, by outcome or by the reason of their refusal.",
            ("outcome",),
            registry=registry,
        )
        self._analyses = Counter(
            "g2d_gateway_analyses",
            "Attempts at analysing an instance, by outcome.",
            ("outcome",),
            registry=registry,
        )
        self._analysis_s = Histogram(
            "g2d_gateway_analysis_seconds",
            "Time from sending a radiograph to the service until its answer.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._deliveries = Counter(
            "g2d_gateway_deliveries",
            "Attempts at delivering a result, by peer and outcome.",
            ("peer", "outcome"),
            registry=registry,
        )
        self._instances = Gauge(
            "g2d_gateway_instances",
            "Instances in the journal, by state.",
            ("state",),
            registry=registry,
        )
        self._results = Gauge(
            "g2d_gateway_results",
            "Results in the journal, by peer and state; `dead` are dead letters.",
            ("peer", "state"),
            registry=registry,
        )
        self._workitem_events = Counter(
            "g2d_gateway_workitem_events",
            "Events of workitems, by worklist and outcome.",
            ("worklist", "outcome"),
            registry=registry,
        )
        self._workitems = Gauge(
            "g2d_gateway_workitems",
            "Workitems in the journal, by worklist and state.",
            ("worklist", "state"),
            registry=registry,
        )
        self._connections_closed = Counter(
            "g2d_gateway_connections_closed",
            "HTTP connections closed by a limit, by reason.",
            ("reason",),
            registry=registry,
        )
        ProcessCollector(registry=registry)

    def render(self) -> tuple[bytes, str]:
        """Return all metrics as text, and its media type."""
        return generate_latest(self.registry), CONTENT_TYPE_PLAIN_0_0_4

    def association(self, outcome: str) -> None:
        """Count an association that was `accepted`, `rejected` or `aborted`."""
        self._associations.labels(outcome).inc()

    def connection_closed(self, reason: str) -> None:
        """Count an HTTP connection that a limit closed."""
        self._connections_closed.labels(reason).inc()

    def received(self, outcome: str) -> None:
        """Count an instance that was received."""
        self._received.labels(outcome).inc()

    def analysis(self, outcome: str, seconds: float) -> None:
        """Count an attempt at analysing an instance, and its time."""
        self._analyses.labels(outcome).inc()
        self._analysis_s.observe(seconds)

    def delivery(self, peer: str, outcome: str, count: int = 1) -> None:
        """Count attempts at delivering results to a peer."""
        self._deliveries.labels(peer, outcome).inc(count)

    def workitem(self, worklist: str, outcome: str) -> None:
        """Count an event of a workitem, or of the worklist."""
        self._workitem_events.labels(worklist, outcome).inc()

    def journal(
        self,
        instances: Mapping[str, int],
        deliveries: Mapping[tuple[str, str], int],
        workitems: Mapping[tuple[str, str], int],
    ) -> None:
        """Take the numbers of instances, of results by peer, and of workitems by worklist."""
        self._instances.clear()
        self._results.clear()
        self._workitems.clear()
        for state, count in instances.items():
            self._instances.labels(state).set(count)
        for (peer, state), count in deliveries.items():
            self._results.labels(peer, state).set(count)
        for (worklist, state), count in workitems.items():
            self._workitems.labels(worklist, state).set(count)
