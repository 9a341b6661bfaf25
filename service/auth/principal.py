"""The principal of a request, and the scopes that it may hold."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """A group of endpoints that a principal may use."""

    INFER = "infer"
    """Radiographs, one in each request, and the models that answer."""
    JOBS = "jobs"
    """Background jobs."""
    ADMIN = "admin"
    """Changes of aliases and canary shares."""
    METRICS = "metrics"
    """`GET /metrics`."""


@dataclass(frozen=True)
class Principal:
    """The client that sent a request.

    Attributes:
        id: identifier of the credential, which is no secret: `key:ID`, `oidc:SUBJECT`,
            `admin-token` or `anonymous`.
        scopes: what the client may do.
        owner: identity to which its jobs belong, or None if it has none. All keys of one client
            have the same owner, so that a key can be replaced.
    """

    id: str
    scopes: frozenset[Scope]
    owner: str | None

    @property
    def owner_digest(self) -> str | None:
        """SHA-256 of the owner, which is what the database of jobs keeps."""
        return None if self.owner is None else hashlib.sha256(self.owner.encode()).hexdigest()


NOBODY = Principal("anonymous", frozenset(), None)
"""A request without a credential, where none of the scopes is open to everybody."""

ANYBODY = Principal("anonymous", frozenset({Scope.INFER, Scope.JOBS, Scope.METRICS}), None)
"""A request without a credential, where anonymous clients are served."""
