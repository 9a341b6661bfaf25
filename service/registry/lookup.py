"""Served: what clients may name, and what their requests hold of it.

    name, reference -> Entry, or an error says why not
    lease: what a request holds of the table, so that what it began with also ends it

What a client names is looked up among what is loaded; it never reaches the file system.
"""

import contextlib
import threading
from collections.abc import Iterator, Mapping

from radiograph.errors import ModelNotFound, RadiographError
from service.errors import NotReady
from service.inference.analysis import Analysis
from service.registry.canary import CANARY, CanaryShares
from service.registry.state import Lease, RoutingTable, State, VersionStatus
from service.settings import Settings


class VersionLookup:
    """The table of what is served, as any thread may ask it.

    Args:
        settings: what is meant where a client names nothing, and which alias shadows.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._serving = RoutingTable()
        self._done = threading.Event()
        self.shares = CanaryShares(settings.models.canary_share, settings.models.canary_shares)

    def wait(self, timeout_s: float) -> bool:
        """Block until loading has ended, well or not; False when it takes longer."""
        return self._done.wait(timeout_s)

    def answering(self, name: str, alias: str) -> int | None:
        """The version that answers for an alias."""
        entry = self._serving.ready(name, alias)
        return entry.version if entry else None

    def entries(self) -> tuple[VersionStatus, ...]:
        """Every version that an alias points to, or is kept, whatever its state."""
        return tuple(self._serving.entries.values())

    def faults(self) -> Mapping[str, str]:
        """Models whose aliases cannot be read, and why."""
        return self._serving.faults

    def find(self, name: str | None = None, reference: str | None = None) -> VersionStatus:
        """The version that a name and a reference stand for.

        Args:
            name: a model, or None for the default one.
            reference: a number or an alias, or None for the default alias.

        Raises:
            NotReady: nothing has been loaded yet.
            ModelNotFound: it is not among what is served.
        """
        serving = self._serving
        found = serving.find(self._named(name), self._referred(reference))
        if found is None:
            raise self._unknown(serving)
        return found

    def find_model(self, name: str) -> tuple[VersionStatus, ...]:
        """Every served version of a model.

        Raises:
            NotReady: nothing has been loaded yet.
            ModelNotFound: no version of it is served.
        """
        serving = self._serving
        found = tuple(entry for entry in serving.entries.values() if entry.name == name)
        if not found and name not in serving.faults:
            raise self._unknown(serving)
        return found

    def default_is_ready(self) -> bool:
        """Whether a request that names neither model nor version is answered."""
        settings = self._settings
        return (
            self._serving.ready(settings.models.default_model, settings.models.default_alias)
            is not None
        )

    def ready(self, name: str | None = None, reference: str | None = None) -> Analysis:
        """What answers now; a request holds it by a `lease` instead.

        Raises:
            NotReady: it is still loading, or failed to load.
            ModelNotFound: it is not among what is served.
        """
        return _analysis(self._route(self._serving, name, reference, None))

    @contextlib.contextmanager
    def lease(
        self, name: str | None = None, reference: str | None = None, share_key: str | None = None
    ) -> Iterator[Lease]:
        """Hold the version that a request means until it is answered.

        Args:
            name: a model, or None for the default one.
            reference: a number or an alias; None is the default alias or, for its share of
                the keys, the canary.
            share_key: what a retry of the request has as well.

        Raises:
            NotReady: it is still loading, or failed to load.
            ModelNotFound: it is not among what is served.
        """
        entry = self._hold(name, reference, share_key)
        shadow = self._hold_shadow(entry)
        try:
            yield Lease(
                analysis=_analysis(entry),
                entry=entry,
                shadow=shadow.analysis if shadow else None,
                shadow_entry=shadow,
            )
        finally:
            for held in (entry, shadow):
                if held is not None and held.resident is not None:
                    held.resident.release()

    def _hold(
        self, name: str | None, reference: str | None, share_key: str | None
    ) -> VersionStatus:
        """The entry a request means, acquired."""
        while True:
            serving = self._serving
            entry = self._route(serving, name, reference, share_key)
            if entry.resident is not None and entry.resident.acquire():
                return entry
            if serving is self._serving:  # retired, and there is nothing newer
                raise NotReady(f"{entry.name}/{entry.version} is being freed")

    def _hold_shadow(self, entry: VersionStatus) -> VersionStatus | None:
        """What shadows an entry, acquired; None when there is no other version for it."""
        if self._settings.models.shadow_alias is None:
            return None
        shadow = self._serving.ready(entry.name, self._settings.models.shadow_alias)
        if shadow is None or shadow.version == entry.version or shadow.resident is None:
            return None
        return shadow if shadow.resident.acquire() else None

    def _route(
        self, serving: RoutingTable, name: str | None, reference: str | None, share_key: str | None
    ) -> VersionStatus:
        """The ready entry that a request means."""
        name = self._named(name)
        if reference is None and self.shares.takes(name, share_key):
            canary = serving.ready(name, CANARY)
            if canary is not None:
                return canary
        entry = serving.find(name, self._referred(reference))
        if entry is None or entry.state is State.RETIRED:
            raise self._unknown(serving)
        if entry.analysis is None:
            raise NotReady(f"{entry.name}/{entry.version} is {entry.state}")
        return entry

    def _named(self, name: str | None) -> str:
        return self._settings.models.default_model if name is None else name

    def _referred(self, reference: str | None) -> str:
        return self._settings.models.default_alias if reference is None else reference

    def _unknown(self, serving: RoutingTable) -> RadiographError:
        """What to say of a model or version that is not in the table."""
        if not self._done.is_set():
            return NotReady("the models are still loading")
        names = (
            f"{entry.name}/{entry.version} ({', '.join(entry.aliases)})"
            for entry in serving.entries.values()
            if entry.aliases
        )
        served = "; ".join(names) or "none"
        return ModelNotFound(f"no such model or version is served; served: {served}")


def _analysis(entry: VersionStatus) -> Analysis:
    """What answers for an entry that is ready."""
    if entry.analysis is None:
        raise NotReady(f"{entry.name}/{entry.version} is {entry.state}")
    return entry.analysis
