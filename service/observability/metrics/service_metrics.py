"""Metrics: events of the service, counted for Prometheus.

    Observer calls --> Metrics --registry--> text --> GET /metrics
                          |  values of a label beyond its bound become `other`
                          '  the series of a freed version are removed

Label values are routes, statuses, stages, reasons, versions and their labels: never an identifier,
a phrase or other content of a request. The series of a version are removed with it, so a service
that swaps versions for months does not grow.
"""

from collections.abc import Callable, Mapping
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client import generate_latest as as_text
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.openmetrics import exposition as openmetrics

from service.observability.metrics import buckets
from service.observability.metrics.child_processes import ChildProcesses
from service.observability.observer import Observer

OTHER = "other"
"""Replaces the values of a label beyond `MAX_VALUES`."""

MAX_VALUES = 64
"""Bound on the values of one label; there are fewer routes, stages, reasons and findings."""
MAX_VERSIONS = 64
"""Bound on the versions with series; beyond it, the oldest are removed."""

LIVE_STATES = ("loading", "ready", "failed", "retired")

_VERSION = ("model", "version")
_OPENMETRICS = "application/openmetrics-text"


class Metrics(Observer):
    """Observer that counts events in a registry of its own. Safe to call from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._values: dict[str, set[str]] = {}
        self._versions: dict[tuple[str, str], None] = {}
        self._lock = Lock()
        self._version_metrics: list[MetricWrapperBase] = []
        self._define_requests()
        self._define_batching()
        self._define_models()
        self._define_drift()
        self._define_jobs()
        self._define_audit()
        ProcessCollector(registry=self.registry)
        self.registry.register(ChildProcesses())

    def _define_requests(self) -> None:
        registry = self.registry
        self._request_s = Histogram(
            "g2d_request_seconds",
            "Time from the first byte of a request to its answer.",
            ("route", "status"),
            buckets=buckets.REQUEST_S,
            registry=registry,
        )
        self._in_flight = Gauge(
            "g2d_requests_in_flight", "Requests in progress, probes excluded.", registry=registry
        )
        self._stage_s = Histogram(
            "g2d_stage_seconds",
            "Time of one stage of one request.",
            ("stage",),
            buckets=buckets.STAGE_S,
            registry=registry,
        )
        self._problems = Counter(
            "g2d_problems", "Problems answered, by their type.", ("type",), registry=registry
        )
        self._wrong_tokens = Counter(
            "g2d_wrong_tokens", "Wrong tokens, by reason.", ("reason",), registry=registry
        )
        self._key_changes = Counter(
            "g2d_api_key_changes", "Changes of API keys, by kind.", ("change",), registry=registry
        )
        self._shed = Counter(
            "g2d_shed", "Requests refused for load, by reason.", ("reason",), registry=registry
        )
        self._connections_closed = Counter(
            "g2d_connections_closed",
            "Connections closed by a limit, by reason.",
            ("reason",),
            registry=registry,
        )

    def _define_batching(self) -> None:
        registry = self.registry
        self._waiting = Gauge(
            "g2d_queue_waiting", "Items that wait for a model.", ("key",), registry=registry
        )
        self._dropped = Counter(
            "g2d_dropped", "Items that left the queue unanswered.", ("reason",), registry=registry
        )
        self._decoders = Counter(
            "g2d_decoder_replacements",
            "Decoder processes that were replaced.",
            ("reason",),
            registry=registry,
        )
        self._batch_size = self._histogram(
            "g2d_batch_size", "Radiographs in one batch.", buckets.SIZES
        )
        self._batch_s = self._histogram("g2d_batch_seconds", "Time of one batch.", buckets.STAGE_S)

    def _define_models(self) -> None:
        self._answers = Counter(
            "g2d_answers",
            "Answers about a radiograph, by the version that gave them.",
            (*_VERSION, "status"),
            registry=self.registry,
        )
        self._state = Gauge(
            "g2d_version_state",
            "1 for the current state of a version.",
            (*_VERSION, "state"),
            registry=self.registry,
        )
        self._refused = Counter(
            "g2d_versions_refused",
            "Attempts to load a version that failed, by reason.",
            (*_VERSION, "reason"),
            registry=self.registry,
        )
        self._variants_refused = Counter(
            "g2d_variants_refused",
            "Variants of a version that gave other golden outputs here, so that float32 answers.",
            (*_VERSION, "variant"),
            registry=self.registry,
        )
        self._version_metrics += [
            self._answers,
            self._state,
            self._refused,
            self._variants_refused,
        ]
        self._alias = Gauge(
            "g2d_alias_version",
            "The version that an alias points to.",
            ("model", "alias"),
            registry=self.registry,
        )
        self._shadow = self._histogram(
            "g2d_shadow_difference",
            "Largest difference of an output of a shadow version from the answer.",
            buckets.DIFFERENCE,
            "output",
        )

    def _define_drift(self) -> None:
        self._inputs = {
            "mean": self._histogram(
                "g2d_input_mean", "Mean of the preprocessed image.", buckets.MODEL_INPUT
            ),
            "std": self._histogram(
                "g2d_input_std", "Standard deviation of the preprocessed image.", buckets.SPREAD
            ),
            "out_of_domain": self._histogram(
                "g2d_out_of_domain_score",
                "Distance of a radiograph from the training images; 1 is typical.",
                buckets.DISTANCE,
            ),
        }
        self._scores = self._histogram(
            "g2d_score", "Calibrated probability of a label.", buckets.PROBABILITY, "label"
        )

    def _define_jobs(self) -> None:
        registry = self.registry
        self._jobs = Counter(
            "g2d_jobs", "Jobs accepted, finished or deleted.", ("change",), registry=registry
        )
        self._job_radiographs = Counter(
            "g2d_job_radiographs",
            "Radiographs of jobs accepted, finished or deleted.",
            ("change",),
            registry=registry,
        )
        self._job_orphans = Gauge(
            "g2d_job_orphans",
            "Files without an open job (`body`), and open jobs without their file (`job`).",
            ("kind",),
            registry=registry,
        )
        self._job_item_s = Histogram(
            "g2d_job_item_seconds",
            "Time at work on one radiograph of a job.",
            ("outcome",),
            buckets=buckets.REQUEST_S,
            registry=registry,
        )

    def _define_audit(self) -> None:
        registry = self.registry
        self._models_store_failing = Gauge(
            "g2d_models_store_failing",
            "1 while the store of the models cannot be used; 0 also where they are in a folder.",
            registry=registry,
        )
        self._audit_entries = Counter(
            "g2d_audit_entries",
            "Entries of the audit log, by what became of them.",
            ("outcome",),
            registry=registry,
        )
        self._audit_failing = Gauge(
            "g2d_audit_failing",
            "1 while the audit log cannot be written; 0 also where there is none.",
            registry=registry,
        )
        self._audit_messages = Counter(
            "g2d_audit_messages",
            "DICOM Audit Messages, by what became of them.",
            ("outcome",),
            registry=registry,
        )

    def _histogram(self, name: str, text: str, edges: tuple[float, ...], *labels: str) -> Histogram:
        """Return a histogram by version, whose series are removed with the version."""
        made = Histogram(name, text, (*_VERSION, *labels), buckets=edges, registry=self.registry)
        self._version_metrics.append(made)
        return made

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics as text, in OpenMetrics if it is accepted, and the media type."""
        # The library's own negotiation fails on a version parameter that it cannot parse.
        if _OPENMETRICS in accept:
            encode: Callable[[CollectorRegistry], bytes] = openmetrics.generate_latest
            return encode(self.registry), openmetrics.CONTENT_TYPE_LATEST
        return as_text(self.registry), CONTENT_TYPE_PLAIN_0_0_4

    def arrived(self) -> None:
        """Count a request in progress."""
        self._in_flight.inc()

    def answered(self, route: str, status: int, seconds: float, model: str | None) -> None:
        """Count an answer by route and status, and by version if there is one."""
        self._in_flight.dec()
        self._request_s.labels(self._bounded("route", route), status).observe(seconds)
        if model is not None:
            self._answers.labels(*self._known(model), status).inc()

    def problem(self, kind: str) -> None:
        """Count a problem by its kind."""
        self._problems.labels(self._bounded("type", kind)).inc()

    def wrong_token(self, reason: str, request_id: str) -> None:  # noqa: ARG002 - for other observers
        """Count a wrong token by its reason."""
        self._wrong_tokens.labels(self._bounded("wrong_token", reason)).inc()

    def api_key(self, change: str, key: str, owner: str) -> None:  # noqa: ARG002 - for other observers
        """Count a change of an API key."""
        self._key_changes.labels(self._bounded("key_change", change)).inc()

    def stage(self, name: str, seconds: float) -> None:
        """Observe the time of one stage of one request."""
        self._stage_s.labels(self._bounded("stage", name)).observe(seconds)

    def batch(self, model: str, size: int, seconds: float) -> None:
        """Observe the size and time of one run of a trunk and its heads."""
        version = self._known(model)
        self._batch_size.labels(*version).observe(size)
        self._batch_s.labels(*version).observe(seconds)

    def queue(self, key: str, waiting: int) -> None:
        """Set how many items wait under a key."""
        self._waiting.labels(self._bounded("key", key)).set(waiting)

    def dropped(self, reason: str) -> None:
        """Count an item that left the queue unanswered."""
        self._dropped.labels(self._bounded("dropped", reason)).inc()

    def shed(self, reason: str) -> None:
        """Count a request that was refused for load."""
        self._shed.labels(self._bounded("shed", reason)).inc()

    def connection_closed(self, reason: str) -> None:
        """Count a connection that a limit closed."""
        self._connections_closed.labels(self._bounded("connection_closed", reason)).inc()

    def decoder_lost(self, reason: str) -> None:
        """Count a decoder process that was replaced."""
        self._decoders.labels(self._bounded("decoder", reason)).inc()

    def version(self, model: str, version: int, state: str) -> None:
        """Set the state of a version; the series of a freed version are removed."""
        names = (model, str(version))
        if state not in LIVE_STATES:
            self._forget(names)
            return
        self._known(f"{model}/{version}")
        for other in LIVE_STATES:
            if other == state:
                self._state.labels(*names, other).set(1)
            else:
                self._state.remove_by_labels(
                    {"model": model, "version": str(version), "state": other}
                )

    def version_refused(self, model: str, version: int, reason: str) -> None:
        """Count an attempt to load a version that failed."""
        names = self._known(f"{model}/{version}")
        self._refused.labels(*names, self._bounded("refused", reason)).inc()

    def variant_refused(self, model: str, variant: str) -> None:
        """Count a variant of a version that does not compute here as it was recorded."""
        self._variants_refused.labels(*self._known(model), variant).inc()

    def alias(self, model: str, alias: str, version: int) -> None:
        """Set the version that answers the requests for an alias."""
        self._alias.labels(model, self._bounded("alias", alias)).set(version)

    def shadow(self, model: str, differences: Mapping[str, float]) -> None:
        """Observe the largest difference of each output of a shadow version."""
        version = self._known(model)
        for output, difference in differences.items():
            self._shadow.labels(*version, self._bounded("output", output)).observe(difference)

    def input_statistics(self, model: str, values: Mapping[str, float]) -> None:
        """Observe `mean`, `std` and `out_of_domain` of one preprocessed radiograph."""
        version = self._known(model)
        for name, value in values.items():
            if name in self._inputs:
                self._inputs[name].labels(*version).observe(value)

    def scores(self, model: str, values: Mapping[str, float]) -> None:
        """Observe the probability of each label for one radiograph."""
        version = self._known(model)
        for label, value in values.items():
            self._scores.labels(*version, self._bounded("label", label)).observe(value)

    def job(self, change: str, items: int) -> None:
        """Count a job and its items by what happened to them."""
        change = self._bounded("change", change)
        self._jobs.labels(change).inc()
        self._job_radiographs.labels(change).inc(items)

    def job_orphans(self, kind: str, count: int) -> None:
        """Set the number of orphans of one kind."""
        self._job_orphans.labels(self._bounded("orphan", kind)).set(count)

    def job_item(self, outcome: str, seconds: float) -> None:
        """Observe the time at work on one item of a job, by its outcome."""
        self._job_item_s.labels(self._bounded("outcome", outcome)).observe(seconds)

    def audit_entries(self, outcome: str, count: int) -> None:
        """Count entries of the audit log by what became of them."""
        self._audit_entries.labels(self._bounded("outcome", outcome)).inc(count)

    def models_store_failing(self, failing: bool) -> None:
        """Set whether the store of the models cannot be used."""
        self._models_store_failing.set(failing)

    def audit_failing(self, failing: bool) -> None:
        """Set whether the audit log cannot be written."""
        self._audit_failing.set(failing)

    def audit_messages(self, outcome: str, count: int) -> None:
        """Count DICOM Audit Messages by what became of them."""
        self._audit_messages.labels(self._bounded("outcome", outcome)).inc(count)

    def _bounded(self, label: str, value: str) -> str:
        """Return the value, or `OTHER` if the label already has its maximum of values."""
        known = self._values.setdefault(label, set())
        if value in known:
            return value
        with self._lock:
            if len(known) >= MAX_VALUES:
                return OTHER
            known.add(value)
        return value

    def _known(self, model: str) -> tuple[str, str]:
        """Return the label values of `name/version`; the oldest versions lose their series."""
        name, _, number = model.partition("/")
        names = (name, number)
        if names in self._versions:
            return names
        with self._lock:
            self._versions[names] = None
            excess = list(self._versions)[:-MAX_VERSIONS]
        for old in excess:
            self._forget(old)
        return names

    def _forget(self, names: tuple[str, str]) -> None:
        """Remove all series of one version."""
        with self._lock:
            self._versions.pop(names, None)
        for metric in self._version_metrics:
            metric.remove_by_labels(dict(zip(_VERSION, names, strict=True)))
