"""Metrics and labels that a PromQL expression reads, and those that the service exports."""

from prometheus_client import Metric
from promql_parser import AggregateExpr, Expr, VectorSelector, parse, walk

from service.observability.metrics.gateway_metrics import GatewayMetrics
from service.observability.metrics.service_metrics import Metrics

SCRAPED = {"up", "scrape_duration_seconds"}
"""Metrics that Prometheus adds for each target."""
SCRAPED_LABELS = {"instance", "job", "le", "namespace", "pod", "service"}

_MACROS = {"$__rate_interval": "5m", "$__range": "1h", "$instance": ".*", "$model": ".*"}


def read_by(text: str) -> tuple[set[str], set[str]]:
    """Return the names of the metrics and labels in an expression with macros of Grafana."""
    for macro, value in _MACROS.items():
        text = text.replace(macro, value)
    names: set[str] = set()
    labels: set[str] = set()

    def visit(node: Expr) -> None:
        if isinstance(node, VectorSelector):
            names.add(str(node.name))
            labels.update(matcher.name for matcher in node.matchers.matchers)
        if isinstance(node, AggregateExpr) and node.modifier is not None:
            labels.update(node.modifier.labels)

    walk(parse(text), visit)
    return names, labels


def exported() -> tuple[set[str], set[str]]:
    """Return the names of all samples that service and gateway may export, and of their labels."""
    names: set[str] = set()
    labels: set[str] = set()
    families = [*filled().registry.collect(), *filled_gateway().registry.collect()]
    for family in families:
        names |= samples_of(family)
        labels |= {label for sample in family.samples for label in sample.labels}
    return names, labels


def samples_of(family: Metric) -> set[str]:
    """Return the names under which a metric is queried, by its type."""
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    return {f"{family.name}{suffix}" for suffix in suffixes.get(family.type, ("",))}


def filled() -> Metrics:
    """Return metrics in which every event has been recorded once."""
    observer = Metrics()
    observer.arrived()
    observer.answered("/v1/segment", 200, 0.1, "tiny/1")
    observer.problem("overloaded")
    observer.wrong_token("expired", "r-1")
    observer.api_key("revoked", "k1", "ward")
    observer.stage("trunk", 0.1)
    observer.batch("tiny/1", 4, 0.1)
    observer.queue("segment", 3)
    observer.dropped("deadline")
    observer.shed("queue")
    observer.connection_closed("silent")
    observer.decoder_lost("crash")
    observer.version("tiny", 1, "ready")
    observer.version_refused("tiny", 1, "altered")
    observer.variant_refused("tiny/1", "int8")
    observer.alias("tiny", "stable", 1)
    observer.shadow("tiny/1", {"findings.logits": 0.01})
    observer.input_statistics("tiny/1", {"mean": 0.1, "std": 0.5, "out_of_domain": 1.2})
    observer.scores("tiny/1", {"Lung opacity": 0.7})
    observer.job("accepted", 3)
    observer.job_item("succeeded", 0.1)
    observer.job_orphans("body", 0)
    observer.audit_entries("written", 2)
    observer.audit_failing(False)
    observer.models_store_failing(False)
    observer.audit_messages("sent", 1)
    return observer


def filled_gateway() -> GatewayMetrics:
    """Return metrics of the gateway in which every event has been recorded once."""
    metrics = GatewayMetrics()
    metrics.connection_closed("displaced")
    metrics.association("accepted")
    metrics.received("taken")
    metrics.analysis("done", 0.1)
    metrics.delivery("pacs", "sent")
    metrics.workitem("ris", "completed")
    metrics.journal({"done": 1}, {("pacs", "done"): 1}, {("ris", "completed"): 1})
    return metrics
