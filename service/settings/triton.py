"""Settings of the Triton backend."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from service.settings.group import Group


class TritonSettings(Group):
    """Connection to the Triton server, used if `backend` is `triton`."""

    PREFIX: ClassVar[str] = "triton_"

    protocol: Literal["grpc", "http"] = "grpc"
    """Protocol of the connection."""
    url: str = Field(default="127.0.0.1:8001", pattern=r"^[^\s/]+:[0-9]{1,5}(/[^\s]*)?$")
    """Address of Triton, HOST:PORT; its default ports are 8001 for gRPC and 8000 for HTTP."""
    timeout_s: float = Field(default=10.0, gt=0)
    """Seconds within which Triton must answer one call."""
    load_timeout_s: float = Field(default=300.0, gt=0)
    """Seconds within which Triton must load one graph."""
    wait_s: float = Field(default=30.0, ge=0)
    """Seconds that loading waits for Triton, or for a version in it, to become available."""
    tls: bool = False
    """Encrypt the connection, and verify Triton's certificate."""
    ca_file: Path | None = None
    """PEM file of the authorities that may sign Triton's certificate; by default, the system's."""
    certificate_file: Path | None = None
    """PEM file of the certificate that the service shows to Triton, if Triton requires one."""
    key_file: Path | None = None
    """PEM file of the private key to `triton_certificate_file`."""
    shared_memory: bool = False
    """Pass arrays in shared memory; Triton must run on this host and share its /dev/shm."""
    view: Path | None = None
    """Folder of Triton's model repository, if this service is to render it as versions change."""
    unload: bool = True
    """Unload from Triton what is closed here; switch off if other services use the same Triton."""
