"""HTTP server of the gateway, which runs together with its other parts until told to stop.

Its connections have the limits of those of the service: heads, silence, handshakes, their number.
"""

import logging
import signal
import ssl
import sys
from types import FrameType
from typing import Any

import uvicorn

from service.api.server.handshakes import loop_with_counted_handshakes
from service.api.server.protocol import protocol_class
from service.gateway.configuration import Configuration
from service.gateway.gateway import Gateway
from service.gateway.receiving.web import Store, build_app
from service.observability.metrics.gateway_metrics import GatewayMetrics
from service.observability.observer import Observer
from service.settings import AuditSettings, Settings

_STOP_S = 10
_CONNECTIONS = 64


def serve(configuration: Configuration, audit: AuditSettings) -> None:
    """Run a gateway.

    Raises:
        InvalidConfiguration: a secret, a certificate or an address cannot be used.
        GatewayUnavailable: the folder cannot be used, or another gateway uses it.
    """
    gateway = Gateway(configuration, audit)
    web = configuration.web
    app = build_app(
        Store(configuration, gateway.intake),
        gateway.metrics,
        refresh=gateway.refresh_metrics,
        is_ready=gateway.is_ready,
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every request at `info`
    signal.signal(signal.SIGTERM, _leave)  # uvicorn raises the signal again once it has stopped
    with gateway.running():
        options = http_options(configuration, gateway.metrics)
        uvicorn.run(app, host=web.host, port=web.port, **options)


def http_options(configuration: Configuration, metrics: GatewayMetrics) -> dict[str, Any]:
    """Return the options of uvicorn for the HTTP server, without its address.

    Args:
        configuration: certificates.
        metrics: counts the connections that a limit closes.
    """
    settings = Settings.of(connections=_CONNECTIONS)
    protocol = protocol_class(settings, _Closings(metrics))
    options: dict[str, Any] = {
        "http": protocol,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_keep_alive": settings.server.keep_alive_s,
        "timeout_graceful_shutdown": _STOP_S,
        "ws": "none",
    }
    tls = configuration.web.tls
    if tls is not None:
        options |= {
            "loop": loop_with_counted_handshakes(protocol.limits),
            "ssl_certfile": tls.certificate_file,
            "ssl_keyfile": tls.key_file,
            "ssl_ca_certs": _client_ca(configuration),
            "ssl_cert_reqs": _client_certificates(configuration),
        }
    return options


class _Closings(Observer):
    """Observer that counts closed connections in the metrics of the gateway."""

    def __init__(self, metrics: GatewayMetrics) -> None:
        self._metrics = metrics

    def connection_closed(self, reason: str) -> None:
        """Count a connection that a limit closed."""
        self._metrics.connection_closed(reason)


def _client_ca(configuration: Configuration) -> str | None:
    tls = configuration.web.tls
    return None if tls is None or tls.client_ca_file is None else str(tls.client_ca_file)


def _client_certificates(configuration: Configuration) -> int:
    """Return whether clients must show a certificate, as `ssl` names it."""
    return ssl.CERT_NONE if _client_ca(configuration) is None else ssl.CERT_REQUIRED


def _leave(_: int, __: FrameType | None) -> None:
    sys.exit(0)
