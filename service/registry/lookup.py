"""Version lookup: find, and hold, the version that answers a request.

    Reconciler --publish--> [current RoutingTable] --find, lease--> requests, on any thread

Readers take no lock: the table is immutable and replaced as a whole. Names that clients send are
looked up in the table and never reach the file system.
"""

import contextlib
import threading
from collections.abc import Iterator, Mapping

from radiograph.errors import ModelNotFound, RadiographError
from service.errors import NotReady
from service.inference.analysis import Analysis
from service.registry.canary import CANARY, CanaryShares
from service.registry.state import Lease, RoutingTable, State, VersionStatus
from service.settings import ModelSettings


class VersionLookup:
    """The current routing table, as readers use it. Safe to call from any thread.

    Attributes:
        shares: the share of each model's requests that its canary answers.

    Args:
        settings: the default model and alias, the shadow alias and the canary's shares.
    """

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        self._table = RoutingTable()
        self._first_load = threading.Event()
        self.shares = CanaryShares(settings.canary_share, settings.canary_shares)

    @property
    def table(self) -> RoutingTable:
        """The current table."""
        return self._table

    def publish(self, table: RoutingTable) -> None:
        """Replace the table; only the reconciler calls this."""
        self._table = table

    def end_first_load(self) -> None:
        """Record that loading at start has ended: an unknown name is an error from now on."""
        self._first_load.set()

    def wait(self, timeout_s: float) -> bool:
        """Block until loading at start has ended, well or not; return False on a time-out."""
        return self._first_load.wait(timeout_s)

    def answering(self, name: str, alias: str) -> int | None:
        """Return the number of the version that answers for an alias."""
        status = self._table.ready(name, alias)
        return status.version if status else None

    def versions(self) -> tuple[VersionStatus, ...]:
        """Return every version that an alias points to or that is kept, whatever its state."""
        return tuple(self._table.versions.values())

    def faults(self) -> Mapping[str, str]:
        """Return the models whose aliases cannot be read, each with the reason."""
        return self._table.faults

    def find(self, name: str | None = None, reference: str | None = None) -> VersionStatus:
        """Return the version that a name and a reference mean.

        Args:
            name: a model, or None for the default one.
            reference: a number or an alias, or None for the default alias.

        Raises:
            NotReady: nothing has been loaded yet.
            ModelNotFound: no such version is served.
        """
        table = self._table
        status = table.find(self._model(name), self._reference(reference))
        if status is None:
            raise self._unknown(table)
        return status

    def find_model(self, name: str) -> tuple[VersionStatus, ...]:
        """Return every served version of a model.

        Raises:
            NotReady: nothing has been loaded yet.
            ModelNotFound: no version of the model is served.
        """
        table = self._table
        found = tuple(status for status in table.versions.values() if status.name == name)
        if not found and name not in table.faults:
            raise self._unknown(table)
        return found

    def default_is_ready(self) -> bool:
        """Return whether a request that names neither model nor version is answered."""
        settings = self._settings
        return self._table.ready(settings.default_model, settings.default_alias) is not None

    def ready(self, name: str | None = None, reference: str | None = None) -> Analysis:
        """Return the version that answers now, without holding it; requests use `lease`.

        Raises:
            NotReady: the version is still loading, or failed to load.
            ModelNotFound: no such version is served.
        """
        return _analysis(self._route(self._table, name, reference, None))

    @contextlib.contextmanager
    def lease(
        self, name: str | None = None, reference: str | None = None, share_key: str | None = None
    ) -> Iterator[Lease]:
        """Hold the version that a request means, and its shadow, until the request is answered.

        Args:
            name: a model, or None for the default one.
            reference: a number or an alias; None is the default alias or, for its share of
                the keys, the canary.
            share_key: a key that a retry of the request carries as well.

        Raises:
            NotReady: the version is still loading, or failed to load.
            ModelNotFound: no such version is served.
        """
        status = self._acquire(name, reference, share_key)
        shadow = self._acquire_shadow(status)
        try:
            yield Lease(_analysis(status), shadow)
        finally:
            for held in (status, shadow):
                if held is not None and held.loaded is not None:
                    held.loaded.release()

    def _acquire(
        self, name: str | None, reference: str | None, share_key: str | None
    ) -> VersionStatus:
        """Return the version that a request means, acquired."""
        while True:
            table = self._table
            status = self._route(table, name, reference, share_key)
            if status.loaded is not None and status.loaded.acquire():
                return status
            if table is self._table:  # retired, and no newer table has been published
                raise NotReady(f"{status.name}/{status.version} is being freed")

    def _acquire_shadow(self, answering: VersionStatus) -> VersionStatus | None:
        """Return the shadow of a version, acquired; None when no other version shadows it."""
        if self._settings.shadow_alias is None:
            return None
        shadow = self._table.ready(answering.name, self._settings.shadow_alias)
        if shadow is None or shadow.version == answering.version or shadow.loaded is None:
            return None
        return shadow if shadow.loaded.acquire() else None

    def _route(
        self, table: RoutingTable, name: str | None, reference: str | None, share_key: str | None
    ) -> VersionStatus:
        """Return the ready version that a request means."""
        name = self._model(name)
        if reference is None and self.shares.takes(name, share_key):
            canary = table.ready(name, CANARY)
            if canary is not None:
                return canary
        status = table.find(name, self._reference(reference))
        if status is None or status.state is State.RETIRED:
            raise self._unknown(table)
        if status.analysis is None:
            raise _not_ready(status)
        return status

    def _model(self, name: str | None) -> str:
        return self._settings.default_model if name is None else name

    def _reference(self, reference: str | None) -> str:
        return self._settings.default_alias if reference is None else reference

    def _unknown(self, table: RoutingTable) -> RadiographError:
        """Return the error for a model or version that is not in the table."""
        if not self._first_load.is_set():
            return NotReady("the models are still loading")
        names = (
            f"{status.name}/{status.version} ({', '.join(status.aliases)})"
            for status in table.versions.values()
            if status.aliases
        )
        served = "; ".join(names) or "none"
        return ModelNotFound(f"no such model or version is served; served: {served}")


def _analysis(status: VersionStatus) -> Analysis:
    if status.analysis is None:
        raise _not_ready(status)
    return status.analysis


def _not_ready(status: VersionStatus) -> NotReady:
    return NotReady(f"{status.name}/{status.version} is {status.state}")
