"""Settings of an identity provider."""

import ipaddress
from pathlib import Path
from typing import ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from service.settings.group import Group

ScopeName = Literal["infer", "jobs", "admin", "metrics"]


class OidcSettings(Group):
    """Tokens of an identity provider: OpenID Connect, or any other signer of JWTs."""

    PREFIX: ClassVar[str] = "oidc_"

    issuer: str | None = None
    """Issuer (`iss`) whose tokens are accepted; if empty, none are."""
    audience: str | None = None
    """Audience (`aud`) that a token must name; required with `oidc_issuer`."""
    jwks: str | None = None
    """URL (https) or file of the public keys of the issuer, a JWK set; required with
    `oidc_issuer`."""
    timeout_s: float = Field(default=5.0, gt=0, le=60)
    """Seconds within which the URL of the keys must answer."""
    scope_claim: str = Field(default="scope", min_length=1)
    """Claim with the scopes, as words or a list; `realm_access.roles` is a claim in a claim."""
    scopes: dict[ScopeName, str] = Field(default_factory=dict)
    """Values of the claim that give the scopes, `infer=cxr.read,jobs=cxr.batch`; by default, the
    name of a scope gives it."""

    @field_validator("issuer", "audience", "jwks", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("scopes", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = (item.partition("=") for item in value.replace(",", " ").split())
        return {name: given for name, _, given in pairs}

    @field_validator("jwks")
    @classmethod
    def _not_in_the_clear(cls, value: str | None) -> str | None:
        """Whoever can change the keys on their way can sign tokens."""
        if value is not None and value.startswith("http://") and not _is_local(value):
            raise ValueError("keys are fetched over https only")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        given = [name for name in ("issuer", "audience", "jwks") if getattr(self, name) is None]
        if 0 < len(given) < 3:
            missing = ", ".join(f"G2D_OIDC_{name.upper()}" for name in given)
            raise ValueError(f"also set {missing}")
        return self

    @property
    def jwks_file(self) -> Path | None:
        """File of the public keys, or None if they have a URL."""
        if self.jwks is None or self.jwks.startswith(("http://", "https://")):
            return None
        return Path(self.jwks)


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
