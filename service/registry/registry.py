"""Loading: a version's folder becomes something that answers, or never becomes ready.

    aliases -> verify digests -> build backend -> replay golden -> ready
                  '---------- any fault ---------------'-> failed, with the reason

    refresh: what the aliases point to -> load what is new -> replace the table -> free the rest
    promote: load and check -> move the alias on the disk -> refresh

Requests ask `Served`, the table alone; only an administrator's names reach the file system, and
`radiograph.repository.repository` checks them there.
"""

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator

from radiograph.errors import InvalidVersion, RadiographError
from radiograph.repository.repository import Repository
from service.errors import NotReady, RepositoryUnwritable, VersionRefused
from service.observability.observer import NULL_OBSERVER, Observer
from service.registry.alias_resolver import AliasResolver
from service.registry.announcing import announce
from service.registry.loaded_versions import LoadedVersions
from service.registry.loader import BackendFactory, OpenVersion, limits_of, load_version
from service.registry.lookup import VersionLookup
from service.registry.state import LoadedVersion, RoutingTable, VersionKey
from service.scheduling.dynamic_batching import DynamicBatcher
from service.settings import Settings

logger = logging.getLogger("g2d.loading")


class ModelRegistry(VersionLookup):
    """The versions that are served. One thread loads, any thread asks (see `Served`).

    Args:
        settings: where the repository is and what to load of it.
        backends: builds the backend of a verified folder.
        engine: runs the batches of every version.
        observer: hears of every change.
    """

    def __init__(
        self,
        settings: Settings,
        backends: BackendFactory,
        engine: DynamicBatcher | None = None,
        observer: Observer = NULL_OBSERVER,
    ) -> None:
        super().__init__(settings)
        self._backends = backends
        self._engine = engine
        self._observer = observer
        self._repository = Repository(settings.models.models_dir)
        self._changing = threading.RLock()  # the table; held for moments
        self._loading = threading.Lock()  # one version loads at a time; taken before the other
        self._pinned: Counter[VersionKey] = Counter()
        self._residents = LoadedVersions(self._repository, self._load, observer, self._changing)
        self._pointers = AliasResolver(self._repository, settings)

    def load(self) -> None:
        """Load every version that an alias of the settings points to. Blocks."""
        try:
            self.refresh()
            self._report()
        except Exception:
            logger.exception("loading ended early")
        finally:
            self._done.set()

    def refresh(self) -> None:
        """Take up what has changed in the repository. Blocks, and does not raise for it.

        The repository is read again after every version that was loaded, so that of changes
        in quick succession the last one is served.
        """
        tried: set[VersionKey] = set()
        with self._loading:
            while waiting := [key for key in self._take_up() if key not in tried]:
                tried.add(waiting[0])
                with contextlib.suppress(RadiographError):  # reported where it was raised
                    self._residents.load(waiting[0])

    def close(self) -> None:
        """Free every version."""
        with self._changing:
            self._serving = RoutingTable()
            self._residents.close()

    def promote(self, name: str, alias: str, version: int, expected: int | None) -> None:
        """Point an alias to a version that was loaded and checked before. Blocks.

        Args:
            name: the model.
            alias: the alias, made when it is new.
            version: where it shall point.
            expected: where it must point now, 0 for nowhere; None does not care.

        Raises:
            ModelNotFound: no such model or version, or not a name for an alias.
            AliasConflict: it does not point to `expected`.
            VersionRefused: the version or `aliases.json` does not hold. Nothing moved.
            RepositoryUnwritable: the alias cannot be written. Nothing moved.
        """
        with self._moving(name, alias, expected, lambda: version):
            self._repository.set_alias(name, alias, version, expected)
        logger.info("%s: %s -> %s", name, alias, version)

    def roll_back(self, name: str, alias: str, expected: int | None) -> int:
        """Point an alias back to where it pointed before, once that version is checked. Blocks.

        Returns:
            The version it points to now.

        Raises:
            As `promote`, and ModelNotFound: nothing came before, or it is gone.
        """
        with self._moving(name, alias, expected, lambda: self._repository.previous(name, alias)):
            version = self._repository.rollback(name, alias, expected)
        logger.info("%s: %s rolled back to %s", name, alias, version)
        return version

    def pointed(self, name: str, alias: str) -> int:
        """Where an alias points in the repository, whatever is served. Blocks.

        Raises:
            ModelNotFound: no such model or alias.
            VersionRefused: `aliases.json` does not hold.
        """
        return self._pointers.read(name, alias)

    def _report(self) -> None:
        """Say it when requests that name no model will not be answered."""
        if not self.default_is_ready():
            name, alias = self._settings.models.default_model, self._settings.models.default_alias
            folder = self._settings.models.models_dir.resolve()
            logger.error("not ready: no sound version of %s as %s in %s", name, alias, folder)

    def _take_up(self) -> list[VersionKey]:
        """Serve what the repository points to, as far as it is loaded.

        Returns:
            What is to be loaded, the default model and alias first.
        """
        with self._changing:
            before, wanted = self._serving, self._pointers.wanted()
            waiting = [key for key in wanted.values() if not self._residents.settled(key)]
            table = self._pointers.table(wanted, self._residents)
            self._serving = table.serving
            announce(before, table.serving, self._observer)
            self._residents.keep(table.kept | self._pinned.keys())
            return waiting

    @contextlib.contextmanager
    def _moving(
        self, name: str, alias: str, expected: int | None, target: Callable[[], int]
    ) -> Iterator[None]:
        """Move an alias within it: its target is loaded then, and is taken up at the end.

        What is loaded already waits for no load of another version, so that a roll-back is
        quick whatever else goes on.
        """
        try:
            self._pointers.require(name, alias, expected)
            with self._pin((name, target())) as key:
                self._check(key)
                with self._changing:
                    yield
                    self._take_up()
        except InvalidVersion as error:
            raise VersionRefused(str(error)) from error
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise RepositoryUnwritable(f"aliases cannot be written here: {reason}") from error
        finally:
            self._take_up()  # frees what was loaded in vain

    def hold(self, name: str, version: int) -> LoadedVersion:
        """A version by its number, wherever the aliases point by now. Blocks: it may be loaded.

        Returns:
            The version, acquired: whoever asked releases it.

        Raises:
            ModelNotFound: no such version.
            InvalidVersion: it does not hold.
            NotReady: it is being freed; ask again.
        """
        try:
            with self._pin((name, version)) as key:
                self._check(key)
                with self._changing:
                    resident = self._residents.get(key)
                if resident is None or not resident.acquire():
                    raise NotReady(f"{name}/{version} is being freed")
                return resident
        finally:
            self._take_up()  # what no alias points to goes when its holder lets go

    @contextlib.contextmanager
    def _pin(self, key: VersionKey) -> Iterator[VersionKey]:
        """Keep a version although no alias points to it yet."""
        with self._changing:
            self._pinned[key] += 1
        try:
            yield key
        finally:
            with self._changing:
                self._pinned -= Counter({key: 1})

    def _check(self, key: VersionKey) -> None:
        """Have a version loaded, golden outputs and all, before an alias points to it."""
        self._repository.folder(*key)
        if not self._sound(key):
            with self._loading:
                if not self._sound(key):
                    self._residents.load(key)

    def _sound(self, key: VersionKey) -> bool:
        with self._changing:
            return self._residents.sound(key)

    def _load(self, name: str, version: int) -> OpenVersion:
        return load_version(
            self._repository,
            name,
            version,
            self._backends,
            limits_of(self._settings),
            self._engine,
        )
