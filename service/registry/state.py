"""States of a version, and the immutable table that routes requests to versions.

    LOADING --> READY --> RETIRED --> freed      RETIRED --> READY on a roll-back
       '------> FAILED --> LOADING when its files have changed

VersionStatus   the state of one version, at one moment
RoutingTable    the status of every version and the version that answers for each alias, at one
                moment. Replaced as a whole: a request sees the table before a change or after it
LoadedVersion   a version in memory, with the number of its holders:
                acquire ... release;  retire -> no further acquire -> freed after the last release
Lease           the versions that one request holds until it is answered
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from service.inference.analysis import Analysis

VersionKey = tuple[str, int]
"""Model and version."""
AliasKey = tuple[str, str]
"""Model and alias."""


class State(StrEnum):
    """State of a version in the registry."""

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    RETIRED = "retired"


class LoadedVersion:
    """A version in memory and the number of its holders. Safe to call from several threads.

    Args:
        analysis: the version, ready to answer.
        providers: the execution providers in use.
        loading_s: seconds that loading took.
        free: called once, when the version is retired and has no holder left.
    """

    def __init__(
        self,
        analysis: Analysis,
        providers: tuple[str, ...],
        loading_s: float,
        free: Callable[[], None],
    ) -> None:
        self.analysis = analysis
        self.providers = providers
        self.loading_s = loading_s
        self._free = free
        self._lock = threading.Lock()
        self._holders = 0
        self._retired = False

    @property
    def is_free(self) -> bool:
        """True if the version is retired and has no holder left."""
        with self._lock:
            return self._retired and not self._holders

    def acquire(self) -> bool:
        """Hold the version; return False if it is retired, for then a newer table exists."""
        with self._lock:
            self._holders += not self._retired
            return not self._retired

    def release(self) -> None:
        """Release one `acquire`; the last release of a retired version frees it."""
        with self._lock:
            self._holders -= 1
            last = self._retired and not self._holders
        if last:
            self._free()

    def retire(self) -> None:
        """Refuse new holders, and free the version once the last one has released it."""
        with self._lock:
            idle = not self._retired and not self._holders
            self._retired = True
        if idle:
            self._free()


@dataclass(frozen=True, eq=False)
class VersionStatus:
    """Status of one version.

    Attributes:
        name, version: model and number.
        aliases: aliases that the version answers for, or would answer for if it were ready and
            no other version did, in the order of the settings.
        wanted_by: aliases that point to the version in the repository while another version
            still answers for them.
        state: a `ready` version answers and a `retired` one is kept for a roll-back; the others
            do not answer.
        reason: why the version, or its latest change, failed; fit to be shown to clients.
        loaded: the version in memory, or None.
    """

    name: str
    version: int
    aliases: tuple[str, ...] = ()
    wanted_by: tuple[str, ...] = ()
    state: State = State.LOADING
    reason: str | None = None
    loaded: LoadedVersion | None = None

    @property
    def analysis(self) -> Analysis | None:
        """The version as requests use it if it is ready; None for one that is only kept."""
        if self.loaded is None or self.state is not State.READY:
            return None
        return self.loaded.analysis

    @property
    def digest(self) -> str | None:
        """SHA-256 of the manifest, or None before the version is loaded."""
        return self.loaded.analysis.identity.digest if self.loaded else None

    @property
    def providers(self) -> tuple[str, ...]:
        """The execution providers in use; empty before the version is loaded."""
        return self.loaded.providers if self.loaded else ()


@dataclass(frozen=True, eq=False)
class RoutingTable:
    """Routes of one moment.

    Attributes:
        versions: status of every version that an alias points to or that is kept, in the order
            of listings.
        targets: alias -> the version that answers for it.
        previous: alias -> loaded versions that answered for it before, latest first.
        faults: model -> why its aliases cannot be read.
    """

    versions: Mapping[VersionKey, VersionStatus] = field(default_factory=dict)
    targets: Mapping[AliasKey, VersionKey] = field(default_factory=dict)
    previous: Mapping[AliasKey, tuple[VersionKey, ...]] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def answering(self) -> dict[AliasKey, VersionKey]:
        """The aliases for which a ready version answers, each with that version."""
        return {
            alias: key
            for alias, key in self.targets.items()
            if self.versions[key].analysis is not None
        }

    def find(self, name: str, reference: str) -> VersionStatus | None:
        """Return the version of a model that a number or an alias refers to."""
        target = self.targets.get((name, reference))
        if target is not None:
            return self.versions[target]
        for status in self.versions.values():
            if status.name == name and str(status.version) == reference:
                return status
        return None

    def ready(self, name: str, reference: str) -> VersionStatus | None:
        """Return the version that a reference means if it is ready, else None."""
        status = self.find(name, reference)
        return status if status is not None and status.analysis is not None else None


@dataclass(frozen=True, eq=False)
class Lease:
    """Versions that one request holds until it is answered.

    Attributes:
        analysis: the version that answers the request.
        shadow: the other version that answers a copy of it in the background, or None.
    """

    analysis: Analysis
    shadow: VersionStatus | None = None
