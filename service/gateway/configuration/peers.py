"""Peers: destinations of results, and how often each is tried."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from radiograph.strict_model import StrictModel
from service.gateway.configuration.tls import ClientTls
from service.gateway.configuration.values import AeTitle, HttpUrl, Name, ObjectKind, Port


class Retry(StrictModel):
    """Back-off: each delay is twice the one before, with jitter, up to a limit."""

    first_s: float = Field(default=2.0, gt=0)
    """Delay in seconds before the second attempt."""
    longest_s: float = Field(default=900.0, gt=0)
    """Longest delay in seconds."""
    attempts: int = Field(default=100, ge=1, le=100_000)
    """Most attempts at sending one result to a peer that does not answer, or does not confirm that
    it stored the result. The defaults try for a day."""
    refusals: int = Field(default=5, ge=1, le=1000)
    """Most attempts at sending one result that the peer refuses."""


class _Peer(StrictModel):
    """Destination of results."""

    name: Name
    """Name of the peer in rules, metrics, logs and commands."""
    objects: tuple[ObjectKind, ...] = Field(default=("seg", "sr", "gsps", "sc"), min_length=1)
    """Objects that the peer gets."""
    labelmap: bool = False
    """Send LABELMAP segmentations, and BINARY ones only if the peer does not take them."""
    retry: Retry = Field(default_factory=Retry)
    """Attempts and delays."""
    timeout_s: float = Field(default=60.0, gt=0)
    """Seconds within which the peer must answer one message."""
    tls: ClientTls | None = None
    """TLS of the connection; for `stow` the scheme of the URL decides, and this names files."""


class DimsePeer(_Peer):
    """Destination that takes results by C-STORE."""

    protocol: Literal["dimse"] = "dimse"
    host: str
    """Address of the peer."""
    port: Port = 104
    """Port of the peer."""
    ae_title: AeTitle
    """AE title of the peer."""
    commitment: bool = False
    """Ask for storage commitment; a result counts as delivered only once the peer has committed."""
    commitment_timeout_s: float = Field(default=600.0, gt=0)
    """Seconds within which the peer must report; afterwards the result is sent again."""


class StowPeer(_Peer):
    """Destination that takes results by STOW-RS."""

    protocol: Literal["stow"]
    url: HttpUrl
    """Address of the DICOMweb service; results are sent to `URL/studies`."""
    token_file: Path | None = None
    """File of a bearer token."""


Peer = Annotated[DimsePeer | StowPeer, Field(discriminator="protocol")]
