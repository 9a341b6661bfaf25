"""Tracing as the standard OTEL_* environment variables ask for it."""

import os
from collections.abc import Mapping

from service.observability.tracing import Tracing, logger

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


_HTTP = "http/protobuf"


def from_environment(environ: Mapping[str, str] | None = None) -> Tracing | None:
    """What exports the spans to where the `OTEL_*` variables say, or None when they say nothing.

    A service that cannot be traced still answers: what is missing is logged.
    """
    environ = os.environ if environ is None else environ
    if not _wanted(environ):
        return None
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), _HTTP)
    if protocol != _HTTP:
        logger.error("not traced: spans are sent by %s, not by %s", _HTTP, protocol)
        return None
    try:
        from service.observability import otel
    except ModuleNotFoundError:
        logger.error("not traced: pip install 'g2d-radiograph[otel]'")
        return None
    return otel.exporting()


def _wanted(environ: Mapping[str, str]) -> bool:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() != "otlp":
        return False
    return any(environ.get(name) for name in _ENDPOINTS)
