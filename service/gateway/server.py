"""HTTP server of the gateway, which runs together with its other parts until told to stop."""

import logging
import signal
import ssl
import sys
from types import FrameType

import uvicorn

from service.gateway.configuration import Configuration
from service.gateway.gateway import Gateway
from service.gateway.receiving.web import Store, build_app
from service.settings import AuditSettings

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
    tls = web.tls
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every request at `info`
    signal.signal(signal.SIGTERM, _leave)  # uvicorn raises the signal again once it has stopped
    with gateway.running():
        uvicorn.run(
            app,
            host=web.host,
            port=web.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_STOP_S,
            limit_concurrency=_CONNECTIONS,
            ws="none",
            ssl_certfile=None if tls is None else tls.certificate_file,
            ssl_keyfile=None if tls is None else tls.key_file,
            ssl_ca_certs=_client_ca(configuration),
            ssl_cert_reqs=_client_certificates(configuration),
        )


def _client_ca(configuration: Configuration) -> str | None:
    tls = configuration.web.tls
    return None if tls is None or tls.client_ca_file is None else str(tls.client_ca_file)


def _client_certificates(configuration: Configuration) -> int:
    """Return whether clients must show a certificate, as `ssl` names it."""
    return ssl.CERT_NONE if _client_ca(configuration) is None else ssl.CERT_REQUIRED


def _leave(_: int, __: FrameType | None) -> None:
    sys.exit(0)
