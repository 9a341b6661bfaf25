"""Servers of the gateway: DICOM and HTTP."""

import ipaddress
from pathlib import Path

from pydantic import Field

from radiograph.strict_model import StrictModel
from service.gateway.configuration.tls import ServerTls
from service.gateway.configuration.values import MIB, AeTitle, Port


class Listen(StrictModel):
    """DICOM server."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 11112
    """Port to listen on; storage commitment is answered there as well."""
    allowed_ae_titles: tuple[AeTitle, ...] = ()
    """AE titles that may call; empty admits every one."""
    associations: int = Field(default=10, ge=1, le=256)
    """Associations that are served at the same time; further ones are rejected as transient."""
    max_bytes: int = Field(default=64 * MIB, ge=MIB)
    """Largest instance. An association that sends a larger one is aborted."""
    timeout_s: float = Field(default=30.0, gt=0)
    """Seconds within which one PDU must arrive, and after which a silent association is aborted."""
    tls: ServerTls | None = None
    """TLS of the server (PS3.15 annex B); without it, associations are not encrypted."""


class Web(StrictModel):
    """HTTP server: STOW-RS, health and metrics."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 8010
    """Port to listen on."""
    token_file: Path | None = None
    """File of the bearer token that STOW-RS requires. Without it STOW-RS is served to this host
    alone, or not at all if `host` is another address."""
    tls: ServerTls | None = None
    """TLS of the server."""

    @property
    def is_local(self) -> bool:
        """Only processes on this host can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
