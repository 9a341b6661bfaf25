"""Model registry: load the versions that the aliases ask for, and move aliases safely.

    refresh:   reconcile -> load the first missing version -> reconcile -> ... until none is missing
    promote,   pin the version -> load and check it -> move the alias -> reconcile
    roll_back:

One version loads at a time, for a load may take minutes and most of the memory. The loading lock
is taken in one place, `_load`, and never with the lock of the state: that one is private to
`Reconciler`, whose methods hold it for moments and cannot load. So promoting or rolling back to a
version that is loaded never waits for another one that is loading.

Requests read `lookup` alone. Only names that an administrator sends reach the file system, and
`radiograph.repository` checks them.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator

from radiograph.errors import AliasConflict, InvalidVersion, ModelNotFound, RadiographError
from service.errors import NotReady, RepositoryUnwritable, StorageFull, VersionRefused
from service.host import is_disk_full
from service.observability.observer import NULL_OBSERVER, Observer
from service.registry.loading.loaded_versions import fingerprint
from service.registry.loading.loader import VersionLoader
from service.registry.lookup import VersionLookup
from service.registry.reconciler import Reconciler, reason_of
from service.registry.state import LoadedVersion, State, VersionKey
from service.settings import ModelSettings

logger = logging.getLogger("g2d.loading")

_STOP_POLL_S = 0.5
"""Pause between two looks at whether the service stops, while another version loads."""


class ModelRegistry:
    """The versions that are served. Safe to call from any thread; most calls block.

    Attributes:
        lookup: the versions that answer, as requests read them.

    Args:
        settings: the aliases to serve, and what is kept of versions before.
        loader: loads one version.
        observer: notified of every change.
    """

    def __init__(
        self, settings: ModelSettings, loader: VersionLoader, observer: Observer = NULL_OBSERVER
    ) -> None:
        self.lookup = VersionLookup(settings)
        self._settings = settings
        self._loader = loader
        self._observer = observer
        self._repository = loader.repository
        self._reconciler = Reconciler(loader.repository, settings, self.lookup, observer)
        self._loading = threading.Lock()
        self._stopping = threading.Event()

    def load(self) -> None:
        """Load every version that an alias of the settings points to. Blocks."""
        try:
            self.refresh()
            self._report_default()
        except Exception:
            logger.exception("loading ended early")
        finally:
            self.lookup.end_first_load()

    def refresh(self) -> None:
        """Take up what has changed in the repository. Blocks; a version at fault raises nothing.

        The repository is read again after every load, so that the last of several changes in
        quick succession is served.
        """
        tried: set[VersionKey] = set()
        while missing := [key for key in self._reconciler.reconcile() if key not in tried]:
            tried.add(missing[0])
            with contextlib.suppress(RadiographError):  # reported where it was raised
                self._load(missing[0], unless=self._reconciler.is_settled)

    def promote(self, name: str, alias: str, version: int, expected: int | None) -> None:
        """Point an alias to a version, once that is loaded and checked. Blocks.

        Args:
            name: the model.
            alias: the alias, made when it is new.
            version: the version to point to.
            expected: the version that the alias must point to now, 0 for none; None skips the
                check.

        Raises:
            ModelNotFound: no such model or version, or not a name for an alias.
            AliasConflict: the alias does not point to `expected`.
            VersionRefused: the version or `aliases.json` fails verification. Nothing moved.
            RepositoryUnwritable, StorageFull: the alias cannot be written. Nothing moved.
        """
        with self._moving_alias():
            self._require(name, alias, expected)
            with self._sound((name, version)):
                self._reconciler.set_alias(name, alias, version, expected)
        logger.info("%s: %s -> %s", name, alias, version)

    def roll_back(self, name: str, alias: str, expected: int | None) -> int:
        """Point an alias back to its version before, once that is loaded and checked. Blocks.

        Returns:
            The version that the alias points to now.

        Raises:
            ModelNotFound: no such model or alias, no version before, or it is gone.
            AliasConflict, VersionRefused, RepositoryUnwritable, StorageFull: as `promote`.
        """
        with self._moving_alias():
            self._require(name, alias, expected)
            with self._sound((name, self._repository.previous(name, alias))):
                version = self._reconciler.roll_back(name, alias, expected)
        logger.info("%s: %s rolled back to %s", name, alias, version)
        return version

    def set_canary_share(self, name: str, share: float) -> None:
        """Change the share of a model's requests that its canary answers, in this process.

        Raises:
            ModelNotFound: no version of the model is served.
        """
        self.lookup.find_model(name)
        self.lookup.shares.change(name, share)
        logger.info("%s: canary share -> %g", name, share)

    def pointed(self, name: str, alias: str) -> int:
        """Return where an alias points in the repository, whatever is served. Blocks.

        Raises:
            ModelNotFound: no such model or alias.
            VersionRefused: `aliases.json` fails verification.
        """
        try:
            return self._repository.aliases(name)[alias]
        except KeyError:
            raise ModelNotFound(f"model {name} has no such alias") from None
        except InvalidVersion as error:
            raise VersionRefused(str(error)) from error

    def hold(self, name: str, version: int) -> LoadedVersion:
        """Hold a version by its number, wherever the aliases point. Blocks: it may be loaded.

        Returns:
            The version, acquired; the caller releases it, and it is freed then unless an alias
            needs it.

        Raises:
            ModelNotFound: no such version.
            InvalidVersion: the version fails verification.
            NotReady: the version is being freed; ask again.
        """
        try:
            with self._sound((name, version)) as key:
                loaded = self._reconciler.acquire(key)
                if loaded is None:
                    raise NotReady(f"{name}/{version} is being freed")
                return loaded
        finally:
            self._reconciler.reconcile()  # retires what no alias points to

    def stop(self) -> None:
        """End the load that is under way, if it is in a trial, and refuse further ones."""
        self._stopping.set()
        if self._loader.trial is not None:
            self._loader.trial.stop()

    def close(self) -> None:
        """Free every version. Blocks."""
        self._reconciler.close()

    def _report_default(self) -> None:
        """Log an error if requests that name no model are not going to be answered."""
        if not self.lookup.default_is_ready():
            settings = self._settings
            logger.error(
                "not ready: no sound version of %s as %s in %s",
                settings.default_model,
                settings.default_alias,
                self._repository.root.resolve(),
            )

    def _require(self, name: str, alias: str, expected: int | None) -> None:
        """Refuse now, before a version is loaded for it, a move that would be refused at its end.

        Raises:
            ModelNotFound: no such model.
            AliasConflict: the alias does not point to `expected`.
            InvalidVersion: `aliases.json` fails verification.
        """
        points_to = self._repository.aliases(name).get(alias, 0)
        if expected is not None and points_to != expected:
            raise AliasConflict(f"the alias points to version {points_to or 'none'}")

    @contextlib.contextmanager
    def _moving_alias(self) -> Iterator[None]:
        """Raise the errors of the repository as those of the service, and reconcile at the end."""
        try:
            yield
        except InvalidVersion as error:
            raise VersionRefused(str(error)) from error
        except OSError as error:
            if is_disk_full(error):
                raise StorageFull("not enough disk space to write aliases; none moved") from error
            reason = error.strerror or type(error).__name__
            raise RepositoryUnwritable(f"aliases cannot be written here: {reason}") from error
        finally:
            self._reconciler.reconcile()  # frees a version that was loaded in vain

    @contextlib.contextmanager
    def _sound(self, key: VersionKey) -> Iterator[VersionKey]:
        """Have a version loaded and checked, and keep it so within the context.

        Raises:
            RadiographError: there is no such version, or it cannot be loaded.
        """
        with self._reconciler.pin(key):
            self._repository.folder(*key)
            if not self._reconciler.is_sound(key):
                self._load(key, unless=self._reconciler.is_sound)
            yield key

    def _load(self, key: VersionKey, unless: Callable[[VersionKey], bool]) -> None:
        """Load a version; one of that number in memory goes on answering if this fails.

        Args:
            key: the version.
            unless: asked once no other version is loading; True if nothing is left to do.

        Raises:
            RadiographError: the version cannot be loaded; its status gives the reason.
        """
        with self._loading_alone():
            if unless(key):
                return
            started, files = time.perf_counter(), fingerprint(self._repository, key)
            self._observer.version(*key, State.LOADING)
            try:
                opened = self._loader.load(*key)
            except Exception as error:
                self._reconciler.record_failure(key, files, error)
                if isinstance(error, RadiographError):
                    raise
                raise InvalidVersion(f"{key[0]}/{key[1]}: {reason_of(error)}") from error
            self._reconciler.record_loaded(key, files, opened, time.perf_counter() - started)

    @contextlib.contextmanager
    def _loading_alone(self) -> Iterator[None]:
        """Hold the loading lock; give up once the service stops.

        Raises:
            NotReady: the service stops.
        """
        while not self._loading.acquire(timeout=_STOP_POLL_S):
            self._refuse_when_stopping()
        try:
            self._refuse_when_stopping()
            yield
        finally:
            self._loading.release()

    def _refuse_when_stopping(self) -> None:
        if self._stopping.is_set():
            raise NotReady("no version is loaded any more, because the service stops")
