"""Set-up of tracing from the standard OTEL_* environment variables."""

import logging
import os
from collections.abc import Mapping

from service.observability.tracing.tracing import Tracing

logger = logging.getLogger("g2d.tracing")

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SUPPORTED = "http/protobuf"


def from_environment(environ: Mapping[str, str] | None = None) -> Tracing | None:
    """Return the exporter of spans that the `OTEL_*` variables ask for, or None.

    A service that cannot export spans still answers requests; the reason is logged.
    """
    environ = os.environ if environ is None else environ
    if not _requested(environ):
        return None
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), _SUPPORTED)
    if protocol != _SUPPORTED:
        logger.error("tracing is off: the protocol is %s, only %s works", protocol, _SUPPORTED)
        return None
    try:
        from service.observability.tracing import otel
    except ModuleNotFoundError:
        logger.error("tracing is off: pip install 'g2d-radiograph[otel]'")
        return None
    return otel.exporting()


def _requested(environ: Mapping[str, str]) -> bool:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() != "otlp":
        return False
    return any(environ.get(name) for name in _ENDPOINTS)
