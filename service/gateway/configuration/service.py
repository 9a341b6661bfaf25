"""The service that the gateway asks."""

from pathlib import Path

from pydantic import Field

from radiograph.strict_model import StrictModel
from service.gateway.configuration.values import HttpUrl


class Service(StrictModel):
    """The service that analyses radiographs."""

    url: HttpUrl = "http://127.0.0.1:8000"
    """Address of the service."""
    token_file: Path | None = None
    """File of the API key that the gateway sends as bearer token."""
    ca_file: Path | None = None
    """PEM file of the authorities that may sign its certificate; by default, the system's."""
    timeout_s: float = Field(default=120.0, gt=0)
    """Seconds within which the service must answer."""
    concurrency: int = Field(default=2, ge=1, le=64)
    """Radiographs that are sent to the service at the same time."""
    attempts: int = Field(default=6, ge=1, le=1000)
    """Most attempts at one radiograph if the service fails at it. While the service is away, busy
    or set up wrongly, the gateway waits without a limit."""
