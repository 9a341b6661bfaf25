"""Servers that may be spoken to: an allow-list by name and address, read from a file.

    [servers.pacs]
    url = "https://pacs.example.org/dicom-web"
    token_file = "/run/secrets/pacs"   # or user and password_file
    ca_file = "/etc/g2d/pacs.pem"      # authorities to trust in place of the public ones
    store = true                       # results may be sent back to it

The file is read once. A client names a server, or gives an address that starts with that of one,
letter for letter; nothing else is ever connected to.
"""

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, model_validator

from radiograph.strict_model import StrictModel
from service.dicomweb.references import Reference, ServerName
from service.errors import InvalidSettings

_MAX_BYTES = 1024 * 1024
_UID = r"[0-9]+(?:\.[0-9]+)*"
_RESOURCE = re.compile(
    rf"/studies/(?P<study>{_UID})(?:/series/(?P<series>{_UID})(?:/instances/(?P<instance>{_UID}))?)?"
)


def _address(url: str) -> str:
    """Return an address without its last slash, or refuse it."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("the address must start with https:// or http:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("user and password have keys of their own")
    if parts.query or parts.fragment or not re.fullmatch(r"(/[\w.~-]+)*/?", parts.path, re.ASCII):
        raise ValueError("the address must be a plain path, without query or fragment")
    if ".." in parts.path.split("/"):
        raise ValueError("the address must not hold `..`")
    return url.rstrip("/")


class Server(StrictModel):
    """One DICOMweb server.

    Attributes:
        url: address of its services, without a slash at the end.
        user, password_file: credentials of HTTP Basic; the password is in a file of its own.
        token_file: file of a bearer token, in their place.
        ca_file: PEM file of the authorities to trust in place of the public ones.
        store: results may be sent back to it.
    """

    url: Annotated[str, AfterValidator(_address)]
    user: str | None = None
    password_file: Path | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    store: bool = False

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password_file belong together")
        if self.user is not None and self.token_file is not None:
            raise ValueError("a server has a user or a token, not both")
        secret = self.user is not None or self.token_file is not None
        if secret and self.url.startswith("http://") and not _is_loopback(self.url):
            raise ValueError("credentials are sent over https:// only")
        return self


class _File(StrictModel):
    servers: dict[ServerName, Server] = Field(min_length=1)


class Servers:
    """The configured servers.

    Args:
        by_name: each server by its name.
    """

    def __init__(self, by_name: Mapping[str, Server]) -> None:
        self.by_name = by_name

    @classmethod
    def read(cls, path: Path) -> "Servers":
        """Read the file of the servers.

        Raises:
            InvalidSettings: the file cannot be read, or is not such a file; no value is quoted.
        """
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_BYTES)
            return cls(_File.model_validate(tomllib.loads(data.decode())).servers)
        except OSError as error:
            raise InvalidSettings(f"{path}: {error.strerror}") from error
        except (UnicodeDecodeError, tomllib.TOMLDecodeError):
            raise InvalidSettings(f"{path}: not a TOML file") from None
        except ValidationError as error:
            fault = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(map(str, fault["loc"]))
            raise InvalidSettings(f"{path}: {place}: {fault['msg']}") from None

    def check(self, reference: Reference, *, store: bool = False) -> None:
        """Refuse a reference to a server that is not configured, or not for what is asked.

        Args:
            reference: the reference.
            store: results are to be sent back.

        Raises:
            ValueError: it is refused.
        """
        server = self.by_name.get(reference.server)
        if server is None:
            raise ValueError("no server of this name is configured")
        if store and not server.store:
            raise ValueError("this server is not configured to take results")

    def reference(self, url: str) -> Reference:
        """Return the reference that an address stands for.

        Raises:
            ValueError: the address is not that of a study, series or instance of a server.
        """
        for name, server in self.by_name.items():
            resource = _RESOURCE.fullmatch(url.removeprefix(server.url))
            if url.startswith(server.url) and resource is not None:
                return Reference(server=name, **resource.groupdict())
        raise ValueError("the address is not that of a study of a configured server")


def read_secret(path: Path) -> str:
    """Return the secret in a file, without the white space around it.

    Raises:
        InvalidSettings: the file cannot be read, or holds no single line of visible ASCII.
    """
    try:
        secret = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise InvalidSettings(f"{path}: the file of a secret cannot be read") from None
    if not re.fullmatch(r"[\x20-\x7e]{1,8192}", secret):
        raise InvalidSettings(f"{path}: a secret is one line of visible characters")
    return secret


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
