"""Settings of the server process."""

import ipaddress
from typing import Literal

from pydantic import Field

from service.host import most_connections
from service.settings.group import MIB, Group


class ServerSettings(Group):
    """Address, shutdown, metrics and log of the server."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 chooses a free one."""
    connections: int = Field(default_factory=most_connections, ge=8, le=65536)
    """Connections that may be open at the same time, at most what the limit of the process on open
    files leaves. Beyond it, the one that has waited longest for a request is closed, or the one
    whose body arrives most slowly, or else the new one gets 503."""
    keep_alive_s: int = Field(default=5, ge=1, le=3600)
    """Seconds that a connection stays open between two requests. A proxy before the service should
    keep it for less."""
    header_timeout_s: float = Field(default=10.0, gt=0)
    """Seconds within which the first request of a connection must begin, within which a request
    line and its headers must arrive, and within which a TLS handshake must end."""
    max_header_bytes: int = Field(default=64 * 1024, ge=8192, le=MIB)
    """Largest size of request line and headers together, and of trailers and chunk extensions."""
    stop_grace_s: int = Field(default=30, ge=0)
    """Seconds that requests in progress may take to finish once the service is told to stop."""
    metrics: bool = True
    """Serve `GET /metrics`. If off, nothing is counted and the path answers 404."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged; requests are logged at `info`, probes and scrapes at `debug`."""

    @property
    def is_local(self) -> bool:
        """Only processes on this host can connect to the address."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # a name, or empty for every address of this host
            return self.host == "localhost"
