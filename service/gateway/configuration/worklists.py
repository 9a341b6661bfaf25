"""Worklists: where workitems are claimed, and which of them."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from radiograph.strict_model import StrictModel
from service.dicomweb.references import ServerName
from service.gateway.configuration.peers import Retry
from service.gateway.configuration.tls import ClientTls
from service.gateway.configuration.values import HttpUrl, Name, invalid

_ShortString = Annotated[str, Field(pattern=r"^[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?$")]


class Code(StrictModel):
    """Coded entry (PS3.3 section 8)."""

    value: _ShortString
    """Code Value (0008,0100)."""
    scheme: _ShortString
    """Coding Scheme Designator (0008,0102)."""
    meaning: str = Field(min_length=1, max_length=64)
    """Code Meaning (0008,0104)."""


class Worklist(StrictModel):
    """UPS-RS worklist whose workitems the gateway performs."""

    name: Name
    """Name of the worklist in metrics, logs and commands; no peer has it."""
    url: HttpUrl
    """Address of the DICOMweb service; workitems are at `URL/workitems`."""
    token_file: Path | None = None
    """File of a bearer token."""
    tls: ClientTls | None = None
    """Files of TLS; the scheme of the URL decides whether it is used."""
    station: Code
    """Code of the gateway: Scheduled and Performed Station Name Code."""
    procedures: tuple[Code, ...] = Field(min_length=1)
    """Scheduled Workitem Codes that the gateway performs."""
    servers_file: Path
    """TOML file of the DICOMweb servers that inputs may be retrieved from, as G2D_DICOMWEB_FILE."""
    server: ServerName | None = None
    """Server for inputs that name no address of WADO-RS; without it they are refused."""
    poll_s: float = Field(default=10.0, gt=0)
    """Seconds between two searches."""
    workitems: int = Field(default=4, ge=1, le=64)
    """Most workitems that the gateway holds at a time."""
    max_instances: int = Field(default=64, ge=1, le=10_000)
    """Most instances of one workitem."""
    timeout_s: float = Field(default=30.0, gt=0)
    """Seconds within which an answer of the worklist, or an input, must have arrived completely."""
    retry: Retry = Field(default_factory=Retry)
    """Attempts and delays at each step; afterwards the workitem is a dead letter."""
    events: bool = False
    """Subscribe to the claimed workitems, so that requests for cancellation arrive."""
    requester_in_path: bool = False
    """Put the AE title behind `/state` in the address of state changes, as dcm4chee wants."""

    @field_validator("url")
    @classmethod
    def _plain(cls, value: str) -> str:
        if ".." in value.split("/"):
            raise invalid("the address must not hold `..`")
        return value
