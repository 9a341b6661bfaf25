"""TLS of servers and clients: certificates, keys and authorities, as files."""

from pathlib import Path
from typing import Self

from pydantic import model_validator

from radiograph.strict_model import StrictModel
from service.gateway.configuration.values import invalid


class ServerTls(StrictModel):
    """Certificate of a server, and the authorities whose clients it admits."""

    certificate_file: Path
    """PEM file of the certificate and its chain."""
    key_file: Path
    """PEM file of the private key, which must not be encrypted."""
    client_ca_file: Path | None = None
    """PEM file of the authorities that must have signed a client's certificate. Without it,
    clients show none."""


class ClientTls(StrictModel):
    """Authorities and certificate of a client."""

    ca_file: Path | None = None
    """PEM file of the authorities that may sign the server's certificate; by default, the
    system's."""
    certificate_file: Path | None = None
    """PEM file of the certificate that the gateway shows."""
    key_file: Path | None = None
    """PEM file of its private key."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise invalid("set both certificate_file and key_file")
        return self
