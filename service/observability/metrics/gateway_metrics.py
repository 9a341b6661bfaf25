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
        self._add_instances()
        self._add_worklists()
        self._connections_closed = self._counter(
            "g2d_gateway_connections_closed",
            "HTTP connections closed by a limit, by reason.",
            "reason",
        )
        ProcessCollector(registry=self.registry)

    def _add_instances(self) -> None:
        """Add what happens to instances and their results, and how many there are."""
        self._associations = self._counter(
            "g2d_gateway_associations", "Associations that peers requested, by outcome.", "outcome"
        )
        self._received = self._counter(
            "g2d_gateway_received",
            "Instances received, by outcome or by the reason of their refusal.",
            "outcome",
        )
        self._analyses = self._counter(
            "g2d_gateway_analyses", "Attempts at analysing an instance, by outcome.", "outcome"
        )
        self._analysis_s = Histogram(
            "g2d_gateway_analysis_seconds",
            "Time from sending a radiograph to the service until its answer.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._deliveries = self._counter(
            "g2d_gateway_deliveries",
            "Attempts at delivering a result, by peer and outcome.",
            "peer",
            "outcome",
        )
        self._instances = self._gauge(
            "g2d_gateway_instances", "Instances in the journal, by state.", "state"
        )
        self._results = self._gauge(
            "g2d_gateway_results",
            "Results in the journal, by peer and state; `dead` are dead letters.",
            "peer",
            "state",
        )

    def _add_worklists(self) -> None:
        """Add what happens to workitems, and how many there are."""
        self._workitem_events = self._counter(
            "g2d_gateway_workitem_events",
            "Events of workitems, by worklist and outcome.",
            "worklist",
            "outcome",
        )
        self._workitems = self._gauge(
            "g2d_gateway_workitems",
            "Workitems in the journal, by worklist and state.",
            "worklist",
            "state",
        )

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(name, documentation, labels, registry=self.registry)

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(name, documentation, labels, registry=self.registry)

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
