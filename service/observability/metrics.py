"""Metrics: what the parts of the service report, as Prometheus reads it.

    Observer calls --> Metrics --registry--> text --> GET /metrics
                          |  more values of one label than it may have -> `other`
                          '  a version that was freed takes its series along

Labels are routes, statuses, stages, reasons, versions and their labels: never an identifier, a
phrase or anything else that came with a request. The series of a version go when it goes, so a
service that swaps versions for months does not grow.
"""

from collections.abc import Callable, Mapping
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client import generate_latest as as_text
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.openmetrics import exposition as openmetrics

from service.observability.child_processes import Descendants

OTHER = "other"
"""Stands for the values of a label beyond as many as it may have."""

MAX_VALUES = 64
"""Values that one label may have; routes, stages, reasons and labels of a head are fewer."""
MAX_VERSIONS = 64
"""Versions whose series are kept; beyond them the oldest are forgotten."""

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


class Metrics:
    """An `Observer` that counts, with a registry of its own. Safe from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._values: dict[str, set[str]] = {}
        self._versions: dict[tuple[str, str], None] = {}
        self._lock = Lock()
        self._of_versions: list[MetricWrapperBase] = []
        self._requests()
        self._engine()
        self._models()
        self._drift()
        self._many()
        ProcessCollector(registry=self.registry)
        self.registry.register(Descendants())

    def _requests(self) -> None:
        registry = self.registry
        self._request_s = Histogram(
            "g2d_request_seconds",
            "Time from the first byte of a request to its answer.",
            ("route", "status"),
            buckets=_REQUEST_S,
            registry=registry,
        )
        self._in_flight = Gauge(
            "g2d_requests_in_flight", "Requests inside, without probes.", registry=registry
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
            "Requests refused for load, by what was full.",
            ("reason",),
            registry=registry,
        )

    def _engine(self) -> None:
        registry = self.registry
        self._waiting = Gauge(
            "g2d_queue_waiting", "Items that wait for the model.", ("key",), registry=registry
        )
        self._dropped = Counter(
            "g2d_dropped", "Items that left the queue unanswered.", ("reason",), registry=registry
        )
        self._decoders = Counter(
            "g2d_decoder_replacements", "Decoder processes lost.", ("reason",), registry=registry
        )
        self._batch_size = self._histogram("g2d_batch_size", "Radiographs in one run.", _SIZES)
        self._batch_s = self._histogram("g2d_batch_seconds", "Time of one run.", _STAGE_S)

    def _models(self) -> None:
        self._answers = Counter(
            "g2d_answers",
            "Answers to questions about a radiograph, by the version that gave them.",
            (*_VERSION, "status"),
            registry=self.registry,
        )
        self._state = Gauge(
            "g2d_version_state",
            "1 for the state that a version is in.",
            (*_VERSION, "state"),
            registry=self.registry,
        )
        self._of_versions += [self._answers, self._state]
        self._alias = Gauge(
            "g2d_alias_version",
            "The version that an alias points to.",
            ("model", "alias"),
            registry=self.registry,
        )
        self._shadow = self._histogram(
            "g2d_shadow_difference",
            "Largest difference of a shadow version's output from the answer.",
            _DIFFERENCE,
            "output",
        )

    def _drift(self) -> None:
        self._inputs = {
            "mean": self._histogram(
                "g2d_input_mean", "Mean of the preprocessed image.", _MODEL_INPUT
            ),
            "std": self._histogram(
                "g2d_input_std", "Standard deviation of the preprocessed image.", _SPREAD
            ),
            "out_of_domain": self._histogram(
                "g2d_out_of_domain_score",
                "How unlike the training images a radiograph is; 1 is typical.",
                _DISTANCE,
            ),
        }
        self._scores = self._histogram(
            "g2d_score", "Calibrated probability of a label.", _PROBABILITY, "label"
        )

    def _many(self) -> None:
        registry = self.registry
        self._jobs = Counter(
            "g2d_jobs", "Jobs, by what became of them.", ("change",), registry=registry
        )
        self._job_radiographs = Counter(
            "g2d_job_radiographs", "Radiographs of these jobs.", ("change",), registry=registry
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
        """A histogram by version, forgotten with it."""
        made = Histogram(name, text, (*_VERSION, *labels), buckets=buckets, registry=self.registry)
        self._of_versions.append(made)
        return made

    def render(self, accept: str) -> tuple[bytes, str]:
        """Every metric as text, and its media type: OpenMetrics where it is accepted."""
        # The library's own negotiation fails on a version that it cannot read.
        if _OPENMETRICS in accept:
            encode: Callable[[CollectorRegistry], bytes] = openmetrics.generate_latest
            return encode(self.registry), openmetrics.CONTENT_TYPE_LATEST
        return as_text(self.registry), CONTENT_TYPE_PLAIN_0_0_4

    def arrived(self) -> None:
        """One more request is inside."""
        self._in_flight.inc()

    def answered(self, route: str, status: int, seconds: float, model: str | None) -> None:
        """A request was answered; `route` is the template, `model` is `name/version`."""
        self._in_flight.dec()
        self._request_s.labels(self._bounded("route", route), status).observe(seconds)
        if model is not None:
            self._answers.labels(*self._known(model), status).inc()

    def problem(self, kind: str) -> None:
        """An answer was a problem of this kind: the end of its `type`."""
        self._problems.labels(self._bounded("type", kind)).inc()

    def stage(self, name: str, seconds: float) -> None:
        """One stage of one request took so long."""
        self._stage_s.labels(self._bounded("stage", name)).observe(seconds)

    def batch(self, model: str, size: int, seconds: float) -> None:
        """One run of a trunk and its heads over `size` radiographs."""
        version = self._known(model)
        self._batch_size.labels(*version).observe(size)
        self._batch_s.labels(*version).observe(seconds)

    def queue(self, key: str, waiting: int) -> None:
        """So many items now wait under a key."""
        self._waiting.labels(self._bounded("key", key)).set(waiting)

    def dropped(self, reason: str) -> None:
        """An item left the queue without an answer."""
        self._dropped.labels(self._bounded("dropped", reason)).inc()

    def shed(self, reason: str) -> None:
        """A request was refused for load."""
        self._shed.labels(self._bounded("shed", reason)).inc()

    def decoder_lost(self, reason: str) -> None:
        """A decoder process was replaced."""
        self._decoders.labels(self._bounded("decoder", reason)).inc()

    def version(self, model: str, version: int, state: str) -> None:
        """A version changed its state; one that was freed takes its series along."""
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

    def alias(self, model: str, alias: str, version: int) -> None:
        """Requests for an alias are now answered by this version."""
        self._alias.labels(model, self._bounded("alias", alias)).set(version)

    def shadow(self, model: str, differences: Mapping[str, float]) -> None:
        """A shadow version answered too: largest difference by output."""
        version = self._known(model)
        for output, difference in differences.items():
            self._shadow.labels(*version, self._bounded("output", output)).observe(difference)

    def input_statistics(self, model: str, values: Mapping[str, float]) -> None:
        """Of one preprocessed radiograph: `mean`, `std`, `out_of_domain`."""
        version = self._known(model)
        for name, value in values.items():
            if name in self._inputs:
                self._inputs[name].labels(*version).observe(value)

    def scores(self, model: str, values: Mapping[str, float]) -> None:
        """Label -> probability of one radiograph."""
        version = self._known(model)
        for label, value in values.items():
            self._scores.labels(*version, self._bounded("label", label)).observe(value)

    def job(self, change: str, items: int) -> None:
        """A job of so many items was `accepted`, `finished` or `deleted`."""
        change = self._bounded("change", change)
        self._jobs.labels(change).inc()
        self._job_radiographs.labels(change).inc(items)

    def job_item(self, outcome: str, seconds: float) -> None:
        """An item of a job `succeeded`, `failed` or is to be `retried`, after so long at work."""
        self._job_item_s.labels(self._bounded("outcome", outcome)).observe(seconds)

    def _bounded(self, label: str, value: str) -> str:
        """The value, or `OTHER` when the label has as many as it may have."""
        known = self._values.setdefault(label, set())
        if value in known:
            return value
        with self._lock:
            if len(known) >= MAX_VALUES:
                return OTHER
            known.add(value)
        return value

    def _known(self, model: str) -> tuple[str, str]:
        """The labels of `name/version`, of which only the latest are kept."""
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
        """Remove every series of one version."""
        with self._lock:
            self._versions.pop(names, None)
        for metric in self._of_versions:
            metric.remove_by_labels(dict(zip(_VERSION, names, strict=True)))
