"""Observers that also audit: versions, aliases, API keys and refused credentials.

registry --> RegistryEvents --> the observer of the service
access   --> AccessEvents ----'
                   '--> trail
"""

from collections.abc import Callable

from service.audit.chain.entry import UNKNOWN, Act, Entry
from service.audit.chain.trail import AuditTrail
from service.observability.observer import Observer

DigestOf = Callable[[str, int], str | None]
"""Returns the digest of a version, or None if its manifest cannot be read."""

_ACTS = {"ready": Act.VERSION_READY, "failed": Act.VERSION_REFUSED}
_KEY_ACTS = {
    "created": Act.KEY_CREATED,
    "changed": Act.KEY_CHANGED,
    "revoked": Act.KEY_REVOKED,
}
_UNAUTHORISED = 401
_PROBLEM = "urn:g2d:problem:not-authorised"


class RegistryEvents(Observer):
    """Passes the events of the registry on, and records them.

    Args:
        observer: receives every event.
        trail: records versions and aliases.
        digest_of: tells the digest of a version.
    """

    def __init__(self, observer: Observer, trail: AuditTrail, digest_of: DigestOf) -> None:
        self._observer = observer
        self._trail = trail
        self._digest_of = digest_of

    def version(self, model: str, version: int, state: str) -> None:
        """Record that a version answers from now on, or was refused."""
        self._observer.version(model, version, state)
        if (act := _ACTS.get(state)) is not None:
            digest = self._digest_of(model, version)
            self._trail.record(Entry(act, model=model, version=version, digest=digest))

    def version_refused(self, model: str, version: int, reason: str) -> None:
        """Pass the refusal of a version on; its state is recorded."""
        self._observer.version_refused(model, version, reason)

    def variant_refused(self, model: str, variant: str) -> None:
        """Pass the refusal of a variant on."""
        self._observer.variant_refused(model, variant)

    def alias(self, model: str, alias: str, version: int) -> None:
        """Record that a version now answers for an alias, whoever moved it."""
        self._observer.alias(model, alias, version)
        self._trail.record(Entry(Act.ALIAS_MOVED, model=model, alias=alias, version=version))


class AccessEvents(Observer):
    """Passes the events of access control on, and records them.

    Args:
        observer: receives every event.
        trail: records keys and refused credentials.
    """

    def __init__(self, observer: Observer, trail: AuditTrail) -> None:
        self._observer = observer
        self._trail = trail

    def api_key(self, change: str, key: str, owner: str) -> None:
        """Record that an API key was created, changed or revoked."""
        self._observer.api_key(change, key, owner)
        self._trail.record(Entry(_KEY_ACTS[change], key=f"key:{key}", owner=owner))

    def wrong_token(self, reason: str, request_id: str) -> None:
        """Record that a credential was refused, and never the credential itself."""
        self._observer.wrong_token(reason, request_id)
        refused = Entry(
            Act.CREDENTIAL_REFUSED, UNKNOWN, request_id, status=_UNAUTHORISED, problem=_PROBLEM
        )
        self._trail.record(refused)
