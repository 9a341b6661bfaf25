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

from service.observability.child_processes import ChildProcesses
from service.observability.observer import Observer

OTHER = "other"
"""Replaces the values of a label beyond `MAX_VALUES`."""

MAX_VALUES = 64
"""Bound on the values of one label; there are fewer routes, stages, reasons and findings."""
MAX_VERSIONS = 64
"""Bound on the versions with series; beyond it, the oldest are removed."""

LIVE_STATES = ("loading", "ready", "failed", "retired")

_REQUEST_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10, 30)
_STAGE_S = (0.0005, 0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
_PROBABILITY = tuple(round(0.1 * step, 1) for step in range(1, 10))
_MODEL_INPUT = (-2, -1.5, -1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 1.5, 2)
_SPREAD = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1, 1.5, 2)
_DISTANCE = (0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 6, 10)
_DIFFERENCE = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 1)

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
        ProcessCollector(registry=self.registry)
        self.registry.register(ChildProcesses())

    def _define_requests(self) -> None:
        registry = self.registry
        self._request_s = Histogram(
            "g2d_request_seconds",
            "Time from the first byte of a request to its answer.",
            ("route", "status"),
            buckets=_REQUEST_S,
            registry=registry,
        )
        self._in_flight = Gauge(
            "g2d_requests_in_flight", "Requests in progress, probes excluded.", registry=registry
        )
        self._stage_s = Histogram(
            "g2d_stage_seconds",
            "Time of one stage of one request.",
            ("stage",),
            buckets=_STAGE_S,
            registry=registry,
        )
        self._problems = Counter(
            "g2d_problems", "Problems answered, by their type.", ("type",), registry=registry
        )
        self._shed = Counter(
            "g2d_shed",
            "Requests refused for load, by reason.",
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
        self._batch_size = self._histogram("g2d_batch_size", "Radiographs in one batch.", _SIZES)
        self._batch_s = self._histogram("g2d_batch_seconds", "Time of one batch.", _STAGE_S)

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
        self._variants_refused = Counter(
            "g2d_variants_refused",
            "Variants of a version that gave other golden outputs here, so that float32 answers.",
            (*_VERSION, "variant"),
            registry=self.registry,
        )
        self._version_metrics += [self._answers, self._state, self._variants_refused]
        self._alias = Gauge(
            "g2d_alias_version",
            "The version that an alias points to.",
            ("model", "alias"),
            registry=self.registry,
        )
        self._shadow = self._histogram(
            "g2d_shadow_difference",
            "Largest difference of an output of a shadow version from the answer.",
            _DIFFERENCE,
            "output",
        )

    def _define_drift(self) -> None:
        self._inputs = {
            "mean": self._histogram(
                "g2d_input_mean", "Mean of the preprocessed image.", _MODEL_INPUT
            ),
            "std": self._histogram(
                "g2d_input_std", "Standard deviation of the preprocessed image.", _SPREAD
            ),
            "out_of_domain": self._histogram(
                "g2d_out_of_domain_score",
                "Distance of a radiograph from the training images; 1 is typical.",
                _DISTANCE,
            ),
        }
        self._scores = self._histogram(
            "g2d_score", "Calibrated probability of a label.", _PROBABILITY, "label"
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
        self._job_item_s = Histogram(
            "g2d_job_item_seconds",
            "Time at work on one radiograph of a job.",
            ("outcome",),
            buckets=_REQUEST_S,
            registry=registry,
        )

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        """Return a histogram by version, whose series are removed with the version."""
        made = Histogram(name, text, (*_VERSION, *labels), buckets=buckets, registry=self.registry)
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

    def job_item(self, outcome: str, seconds: float) -> None:
        """Observe the time at work on one item of a job, by its outcome."""
        self._job_item_s.labels(self._bounded("outcome", outcome)).observe(seconds)

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
