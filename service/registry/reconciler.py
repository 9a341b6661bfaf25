"""Reconciler: bring what is loaded and routed in line with what the aliases ask for.

                                              +--> to load, returned to the caller
    desired state --+                         |
    loaded versions +--> next RoutingTable ---+--> published to VersionLookup, whole
    pinned versions +                         |
                                              +--> to keep; every other version is retired

All mutable state of the registry is in here, behind one lock that is private to this class and
held for moments. Nothing in here can load a version, so that a thread that holds the lock never
waits for a load. `ModelRegistry` has the loading path and calls in here before and after a load;
the opposite order cannot be written.
"""

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Iterator

from radiograph.errors import (
    AlteredVersion,
    RadiographError,
    UnloadableVersion,
    UnsignedVersion,
)
from radiograph.repository.repository import Repository
from service.errors import BackendUnavailable, NotReady
from service.observability.observer import Observer
from service.registry.alias_resolver import AliasResolver, next_table
from service.registry.loading.loaded_versions import Fingerprint, LoadedVersions
from service.registry.loading.loader import OpenVersion
from service.registry.lookup import VersionLookup
from service.registry.state import LoadedVersion, RoutingTable, State, VersionKey, VersionStatus
from service.settings import ModelSettings

logger = logging.getLogger("g2d.loading")


class Reconciler:
    """The state machine of the registry. Safe to call from several threads.

    Args:
        repository: the model repository.
        settings: the aliases to follow, and the versions to keep for a roll-back.
        lookup: gets every new table.
        observer: notified of every change.
    """

    def __init__(
        self,
        repository: Repository,
        settings: ModelSettings,
        lookup: VersionLookup,
        observer: Observer,
    ) -> None:
        self._repository = repository
        self._keep_retired = settings.keep_retired
        self._lookup = lookup
        self._observer = observer
        self._lock = threading.Lock()
        self._aliases = AliasResolver(repository, settings)
        self._loaded = LoadedVersions(repository, observer)
        self._pinned: Counter[VersionKey] = Counter()

    def reconcile(self) -> list[VersionKey]:
        """Serve what the aliases point to, as far as it is loaded, and free what is not needed.

        Returns:
            The versions to load, the default model and alias first.
        """
        with self._lock:
            return self._reconcile()

    def set_alias(self, name: str, alias: str, version: int, expected: int | None) -> None:
        """Point an alias to a version in the repository, and reconcile in the same step.

        Raises:
            RadiographError, OSError: as `Repository.set_alias`.
        """
        with self._lock:
            self._repository.set_alias(name, alias, version, expected)
            self._reconcile()

    def roll_back(self, name: str, alias: str, expected: int | None) -> int:
        """Point an alias back in the repository, and reconcile in the same step.

        Returns:
            The version that the alias points to now.

        Raises:
            RadiographError, OSError: as `Repository.rollback`.
        """
        with self._lock:
            version = self._repository.rollback(name, alias, expected)
            self._reconcile()
            return version

    @contextlib.contextmanager
    def pin(self, key: VersionKey) -> Iterator[None]:
        """Keep a version loaded although no alias points to it."""
        with self._lock:
            self._pinned[key] += 1
        try:
            yield
        finally:
            with self._lock:
                self._pinned -= Counter({key: 1})  # drops the key at zero

    def is_settled(self, key: VersionKey) -> bool:
        """Return whether a version was tried, and trying again would change nothing."""
        with self._lock:
            return self._loaded.is_settled(key)

    def is_sound(self, key: VersionKey) -> bool:
        """Return whether a version is loaded, and its folder still holds what was loaded."""
        with self._lock:
            return self._loaded.is_sound(key)

    def acquire(self, key: VersionKey) -> LoadedVersion | None:
        """Hold a version; return None if it is not loaded, or retired."""
        with self._lock:
            version = self._loaded.get(key)
            return version if version is not None and version.acquire() else None

    def record_loaded(
        self, key: VersionKey, files: Fingerprint | None, opened: OpenVersion, seconds: float
    ) -> None:
        """Take in a version; `reconcile` routes requests to it."""
        with self._lock:
            self._loaded.add(key, files, opened, seconds)

    def record_failure(self, key: VersionKey, files: Fingerprint | None, error: Exception) -> None:
        """Remember why a version could not be loaded, and report it."""
        if isinstance(error, BackendUnavailable | NotReady):  # the files are not at fault
            files = None
        with self._lock:
            self._loaded.fail(key, files, reason_of(error))
        self._observer.version(*key, State.FAILED)
        self._observer.version_refused(*key, _cause(error))
        if isinstance(error, RadiographError):
            logger.error("%s/%s failed to load: %s", *key, error)
        else:
            logger.error("%s/%s failed to load", *key, exc_info=error)

    def close(self) -> None:
        """Stop routing, and free every version; one with holders is freed by the last of them."""
        with self._lock:
            self._lookup.publish(RoutingTable())
            self._loaded.keep(())
        self._loaded.close()

    def _reconcile(self) -> list[VersionKey]:
        before, desired = self._lookup.table, self._aliases.desired()
        to_load = [key for key in desired.targets.values() if not self._loaded.is_settled(key)]
        now = next_table(before, desired, self._loaded, self._keep_retired)
        # Requests must find the new table before the versions of the old one are retired.
        self._lookup.publish(now)
        _report_changes(before, now, self._observer)
        self._loaded.keep(now.versions.keys() | self._pinned.keys())
        return to_load


def reason_of(error: Exception) -> str:
    """Return a reason fit to be shown to clients; an unexpected error is not quoted."""
    return str(error) if isinstance(error, RadiographError) else "unexpected error, see the log"


def _cause(error: Exception) -> str:
    """Return the cause of a failed load as metrics name it."""
    match error:
        case AlteredVersion():
            return "altered"
        case UnsignedVersion():
            return "unsigned"
        case UnloadableVersion():
            return "trial"
        case BackendUnavailable() | NotReady():
            return "unavailable"
        case _:
            return "invalid"


def _report_changes(before: RoutingTable, now: RoutingTable, observer: Observer) -> None:
    """Report the versions that start or cease to answer, and the aliases that have moved."""
    was, is_now = before.answering, now.answering
    for key in dict.fromkeys((*was.values(), *is_now.values())):
        if (key in was.values()) != (key in is_now.values()):
            _log_change(before.versions.get(key), now.versions.get(key), *key)
            observer.version(*key, State.READY if key in is_now.values() else State.RETIRED)
    for (name, alias), key in is_now.items():
        if was.get((name, alias)) != key:
            logger.info("%s: %s is answered by %s", name, alias, key[1])
            observer.alias(name, alias, key[1])


def _log_change(
    before: VersionStatus | None, now: VersionStatus | None, name: str, version: int
) -> None:
    if now is None or now.analysis is None or now.loaded is None:
        logger.info("%s/%s is retired", name, version)
    elif before is not None and before.state is State.RETIRED:
        logger.info("%s/%s is ready again", name, version)
    else:
        logger.info("%s/%s is ready after %.2f s", name, version, now.loaded.loading_s)
