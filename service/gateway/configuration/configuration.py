"""Configuration as a whole, and the TOML file that it is read from."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydicom import uid

from radiograph.strict_model import StrictModel
from service.gateway.configuration.peers import DimsePeer, Peer, StowPeer
from service.gateway.configuration.rules import Rule
from service.gateway.configuration.servers import Listen, Web
from service.gateway.configuration.service import Service
from service.gateway.configuration.values import MIB, AeTitle, invalid
from service.gateway.configuration.worklists import Worklist
from service.gateway.errors import InvalidConfiguration


class Configuration(StrictModel):
    """Everything that the gateway is told."""

    folder: Path
    """Folder of spool, journal and dead letters; open to the user of the gateway alone."""
    ae_title: AeTitle = "G2D"
    """AE title of the gateway, as server and as client."""
    not_taken: Literal["refuse", "ignore"] = "refuse"
    """Answer to an instance that no rule matches: a failure, or success without any work."""
    suppress: tuple[str, ...] = ("lateral_view", "not_human", "out_of_domain", "pixels_look_*")
    """Codes of warnings that suppress results; `pixels_look_*` stands for all that begin so."""
    min_free_bytes: int = Field(default=256 * MIB, ge=0)
    """Free space on the disk of `folder` that no instance may use."""
    remember_s: float = Field(default=90 * 86_400.0, gt=0)
    """Seconds for which a finished instance is remembered, so that it is not analysed again."""
    listen: Listen = Field(default_factory=Listen)
    web: Web = Field(default_factory=Web)
    service: Service = Field(default_factory=Service)
    rules: tuple[Rule, ...] = Field(min_length=1)
    peers: tuple[Peer, ...] = Field(min_length=1)
    worklists: tuple[Worklist, ...] = ()
    """Worklists whose workitems are performed; none unless they are named."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [peer.name for peer in self.peers]
        _distinct("peers", names)
        _distinct("peers or worklists", [*names, *(one.name for one in self.worklists)])
        _distinct("rules", [rule.name for rule in self.rules])
        wanted = {name for rule in self.rules for name in rule.peers}
        if unknown := sorted(wanted - set(names)):
            raise invalid(f"rules name peers that do not exist: {', '.join(unknown)}")
        return self

    @property
    def sop_classes(self) -> tuple[str, ...]:
        """UIDs of the SOP classes that any rule takes."""
        keywords = {keyword for rule in self.rules for keyword in rule.sop_classes}
        return tuple(sorted(str(getattr(uid, keyword)) for keyword in keywords))

    def peer(self, name: str) -> DimsePeer | StowPeer | None:
        """Return the peer of a name, or None."""
        return next((peer for peer in self.peers if peer.name == name), None)


def read_configuration(path: Path) -> Configuration:
    """Return the configuration in a file.

    Raises:
        InvalidConfiguration: the file cannot be read, or has an invalid value.
    """
    try:
        return Configuration.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise InvalidConfiguration(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidConfiguration(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        reasons = "; ".join(f"{_place(item['loc'])}: {item['msg']}" for item in error.errors())
        raise InvalidConfiguration(f"{path}: {reasons}") from error


def _place(location: Iterable[str | int]) -> str:
    return ".".join(str(part) for part in location) or "file"


def _distinct(what: str, names: list[str]) -> None:
    if len(set(names)) < len(names):
        raise invalid(f"two {what} have one name")
