"""Settings of the model repository."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from radiograph.repository.shipped import default_models_dir
from service.settings.group import MIB, Group


class ModelSettings(Group):
    """The model repository, and the choice of the version that answers."""

    models_dir: Path = Field(default_factory=default_models_dir)
    """Folder of the model repository, `<name>/<version>/`, or `s3://BUCKET/PREFIX` (extra `store`),
    of which `$XDG_CACHE_HOME/g2d/models` keeps a copy. By default `models` in the working folder,
    or else the one in the package g2d-cxr-model."""
    default_model: str = "g2d-cxr"
    """Model of a request that names none; the service is ready once this model is loaded."""
    default_alias: str = "stable"
    """Alias of a request that names no version."""
    aliases: tuple[str, ...] = ("stable", "canary")
    """Aliases whose versions are loaded, for every model."""
    watch_interval_s: float = Field(default=2.0, ge=0, le=86400)
    """Seconds between two checks for new versions and moved aliases; 0 checks at start only."""
    keep_retired: int = Field(default=1, ge=0, le=16)
    """Former versions of each alias that stay loaded, so that a roll-back is immediate."""
    trusted_keys: Path | None = None
    """File of the public keys (minisign) whose signatures of versions are accepted."""
    require_signature: bool = False
    """Refuse a version without a signature of a trusted key; needs `trusted_keys`."""
    trial_timeout_s: float = Field(default=600.0, ge=0, le=86400)
    """Seconds within which a new version must load in a process of its own before it is loaded in
    the service; 0 loads it without a trial. Triton has none. Linux only."""
    trial_cpu_s: int = Field(default=60, ge=1, le=86400)
    """CPU time in seconds that loading a version in that process may take, on any load."""
    trial_memory_bytes: int = Field(default=1024 * MIB, ge=64 * MIB)
    """Memory that loading a version in that process may allocate."""
    trial_open_files: int = Field(default=256, ge=64, le=4096)
    """Files that loading a version in that process may have open at the same time."""
    canary_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the requests without a version that the alias `canary` answers."""
    canary_shares: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    """Canary shares of single models, which override `canary_share`: `g2d-cxr=0.1,other=0`."""
    shadow_alias: str | None = None
    """Alias that also runs on each request, after the answer is sent and while there is no load."""

    @field_validator("aliases", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator("canary_shares", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = (item.partition("=") for item in value.replace(",", " ").split())
        return {name: share for name, _, share in pairs}

    @field_validator("shadow_alias", "trusted_keys", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("require_signature")
    @classmethod
    def _needs_keys(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("trusted_keys") is None:
            raise ValueError("a signature is required, but G2D_TRUSTED_KEYS is not set")
        return value

    @property
    def served_aliases(self) -> tuple[str, ...]:
        """Every alias whose version is to be loaded."""
        shadow = () if self.shadow_alias is None else (self.shadow_alias,)
        return tuple(dict.fromkeys((*self.aliases, *shadow)))
