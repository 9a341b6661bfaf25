"""Versions: what answers for which alias, and which requests hold it.

Serving   one moment, frozen: alias -> version, and what is told of each version.
          Replaced as a whole, so that a request sees the table before or after, never half
Resident  a loaded version, counting who holds it:
          acquire ... release;  retire -> no more acquire -> freed after the last release
Lease     what one request holds
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
    """Where a version is on its way to answering, and away from it."""

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    RETIRED = "retired"


class LoadedVersion:
    """A loaded version and the number of requests that hold it. Safe to call from threads.

    Args:
        analysis: what answers.
        providers: what really computes.
        loading_s: seconds that it took to load.
        free: called once, when it is retired and nobody holds it any more.
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
        self._held = 0
        self._retired = False

    @property
    def free(self) -> bool:
        """Whether it is retired and nobody holds it any more."""
        with self._lock:
            return self._retired and not self._held

    def acquire(self) -> bool:
        """Hold it; False when it is retired, and then there is something newer."""
        with self._lock:
            self._held += not self._retired
            return not self._retired

    def release(self) -> None:
        """Let go of what `acquire` held."""
        with self._lock:
            self._held -= 1
            last = self._retired and not self._held
        if last:
            self._free()

    def retire(self) -> None:
        """Free it when the last one lets go, or now."""
        with self._lock:
            idle = not self._retired and not self._held
            self._retired = True
        if idle:
            self._free()


@dataclass(frozen=True, eq=False)
class VersionStatus:
    """What is told of one version.

    Attributes:
        name, version: which.
        aliases: the aliases that it answers for, or would if it were ready and nothing else
            answered, in the order of the settings.
        wanted_by: the aliases that point to it in the repository while another version
            still answers for them.
        state: `ready` answers, `retired` is kept for a roll-back, the others do not answer.
        reason: why it, or its last change, failed; fit to be shown.
        resident: what answers, once loaded.
    """

    name: str
    version: int
    aliases: tuple[str, ...] = ()
    wanted_by: tuple[str, ...] = ()
    state: State = State.LOADING
    reason: str | None = None
    resident: LoadedVersion | None = None

    @property
    def analysis(self) -> Analysis | None:
        """What answers, once ready; None for a version that is only kept."""
        ready = self.resident is not None and self.state is State.READY
        return self.resident.analysis if self.resident is not None and ready else None

    @property
    def digest(self) -> str | None:
        """SHA-256 of its manifest, once loaded."""
        return self.resident.analysis.identity.digest if self.resident else None

    @property
    def providers(self) -> tuple[str, ...]:
        """What really computes, once loaded."""
        return self.resident.providers if self.resident else ()


@dataclass(frozen=True, eq=False)
class RoutingTable:
    """One moment of what is served.

    Attributes:
        entries: every version that is told of, in the order of listings.
        targets: which version answers for an alias.
        faults: model -> why its aliases cannot be read.
    """

    entries: Mapping[VersionKey, VersionStatus] = field(default_factory=dict)
    targets: Mapping[AliasKey, VersionKey] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)

    def find(self, name: str, reference: str) -> VersionStatus | None:
        """The version that a number or an alias stands for."""
        target = self.targets.get((name, reference))
        if target is not None:
            return self.entries[target]
        for entry in self.entries.values():
            if entry.name == name and str(entry.version) == reference:
                return entry
        return None

    def ready(self, name: str, alias: str) -> VersionStatus | None:
        """What answers for an alias, if something does."""
        entry = self.find(name, alias)
        return entry if entry is not None and entry.analysis is not None else None


@dataclass(frozen=True, eq=False)
class Lease:
    """What one request holds until it is answered.

    Attributes:
        analysis: what answers it.
        entry: the version that it is.
        shadow: what answers a copy of it that nobody waits for, or None.
        shadow_entry: the version that that is.
    """

    analysis: Analysis
    entry: VersionStatus
    shadow: Analysis | None = None
    shadow_entry: VersionStatus | None = None
