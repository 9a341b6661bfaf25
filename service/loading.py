"""Loading: a version's folder becomes something that answers, or never becomes ready.

    aliases -> verify digests -> build backend -> replay golden -> ready
                  '---------- any fault ---------------'-> failed, with the reason

    refresh: what the aliases point to -> load what is new -> replace the table -> free the rest
    promote: load and check -> move the alias on the disk -> refresh
    lease:   what a request holds of the table, so that what it began with also ends it

What a client names is looked up among what is loaded; only an administrator's names reach the
file system, and `radiograph.repository` checks them there.
"""

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from radiograph.errors import InvalidVersion, ModelNotFound, RadiographError
from radiograph.repository import Repository
from service.analysis import Analysis
from service.batching import Engine
from service.errors import NotReady, RepositoryUnwritable, VersionRefused
from service.events import NOBODY, Observer
from service.opening import BackendFactory, LoadedVersion, limits_of, load_version
from service.pointers import Pointers
from service.residents import Residents
from service.routing import CANARY, CanaryShares
from service.settings import Settings
from service.versions import Entry, Key, Lease, Pointer, Resident, Serving, State

logger = logging.getLogger("g2d.loading")


class Models:
    """The versions that are served. One thread loads, any thread asks.

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
        engine: Engine | None = None,
        observer: Observer = NOBODY,
    ) -> None:
        self._settings = settings
        self._backends = backends
        self._engine = engine
        self._observer = observer
        self._repository = Repository(settings.models_dir)
        self._changing = threading.RLock()  # the table; held for moments
        self._loading = threading.Lock()  # one version loads at a time; taken before the other
        self._pinned: Counter[Key] = Counter()
        self._residents = Residents(self._repository, self._load, observer, self._changing)
        self._pointers = Pointers(self._repository, settings)
        self._serving = Serving()
        self._done = threading.Event()
        self.shares = CanaryShares(settings.canary_share, settings.canary_shares)

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
        tried: set[Key] = set()
        with self._loading:
            while waiting := [key for key in self._take_up() if key not in tried]:
                tried.add(waiting[0])
                with contextlib.suppress(RadiographError):  # reported where it was raised
                    self._residents.load(waiting[0])

    def wait(self, timeout_s: float) -> bool:
        """Block until loading has ended, well or not; False when it takes longer."""
        return self._done.wait(timeout_s)

    def close(self) -> None:
        """Free every version."""
        with self._changing:
            self._serving = Serving()
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

    def answering(self, name: str, alias: str) -> int | None:
        """The version that answers for an alias."""
        entry = self._serving.ready(name, alias)
        return entry.version if entry else None

    def entries(self) -> tuple[Entry, ...]:
        """Every version that an alias points to, or is kept, whatever its state."""
        return tuple(self._serving.entries.values())

    def faults(self) -> Mapping[str, str]:
        """Models whose aliases cannot be read, and why."""
        return self._serving.faults

    def find(self, name: str | None = None, reference: str | None = None) -> Entry:
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

    def find_model(self, name: str) -> tuple[Entry, ...]:
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
        return self._serving.ready(settings.default_model, settings.default_alias) is not None

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

    def _hold(self, name: str | None, reference: str | None, share_key: str | None) -> Entry:
        """The entry a request means, acquired."""
        while True:
            serving = self._serving
            entry = self._route(serving, name, reference, share_key)
            if entry.resident is not None and entry.resident.acquire():
                return entry
            if serving is self._serving:  # retired, and there is nothing newer
                raise NotReady(f"{entry.name}/{entry.version} is being freed")

    def _hold_shadow(self, entry: Entry) -> Entry | None:
        """What shadows an entry, acquired; None when there is no other version for it."""
        if self._settings.shadow_alias is None:
            return None
        shadow = self._serving.ready(entry.name, self._settings.shadow_alias)
        if shadow is None or shadow.version == entry.version or shadow.resident is None:
            return None
        return shadow if shadow.resident.acquire() else None

    def _route(
        self, serving: Serving, name: str | None, reference: str | None, share_key: str | None
    ) -> Entry:
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
        return self._settings.default_model if name is None else name

    def _referred(self, reference: str | None) -> str:
        return self._settings.default_alias if reference is None else reference

    def _unknown(self, serving: Serving) -> RadiographError:
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

    def _report(self) -> None:
        """Say it when requests that name no model will not be answered."""
        if not self.default_is_ready():
            name, alias = self._settings.default_model, self._settings.default_alias
            folder = self._settings.models_dir.resolve()
            logger.error("not ready: no sound version of %s as %s in %s", name, alias, folder)

    def _take_up(self) -> list[Key]:
        """Serve what the repository points to, as far as it is loaded.

        Returns:
            What is to be loaded, the default model and alias first.
        """
        with self._changing:
            before, wanted = self._serving, self._pointers.wanted()
            waiting = [key for key in wanted.values() if not self._residents.settled(key)]
            table = self._pointers.table(wanted, self._residents)
            self._serving = table.serving
            self._tell(before, table.serving)
            self._residents.keep(table.kept | self._pinned.keys())
            return waiting

    def _tell(self, before: Serving, now: Serving) -> None:
        """Say what has changed, once the table says so too."""
        was, is_now = _answering(before), _answering(now)
        for key in dict.fromkeys((*was.values(), *is_now.values())):
            if (key in was.values()) != (key in is_now.values()):
                state = State.READY if key in is_now.values() else State.RETIRED
                _log(before.entries.get(key), now.entries.get(key), *key)
                self._observer.version(*key, state)
        for (name, alias), key in is_now.items():
            if was.get((name, alias)) != key:
                logger.info("%s: %s is answered by %s", name, alias, key[1])
                self._observer.alias(name, alias, key[1])

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

    def hold(self, name: str, version: int) -> Resident:
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
    def _pin(self, key: Key) -> Iterator[Key]:
        """Keep a version although no alias points to it yet."""
        with self._changing:
            self._pinned[key] += 1
        try:
            yield key
        finally:
            with self._changing:
                self._pinned -= Counter({key: 1})

    def _check(self, key: Key) -> None:
        """Have a version loaded, golden outputs and all, before an alias points to it."""
        self._repository.folder(*key)
        if not self._sound(key):
            with self._loading:
                if not self._sound(key):
                    self._residents.load(key)

    def _sound(self, key: Key) -> bool:
        with self._changing:
            return self._residents.sound(key)

    def _load(self, name: str, version: int) -> LoadedVersion:
        return load_version(
            self._repository,
            name,
            version,
            self._backends,
            limits_of(self._settings),
            self._engine,
        )


def _log(before: Entry | None, now: Entry | None, name: str, version: int) -> None:
    """One line for a version that answers from now on, or no longer."""
    if now is None or now.analysis is None or now.resident is None:
        logger.info("%s/%s is retired", name, version)
    elif before is not None and before.state is State.RETIRED:
        logger.info("%s/%s is ready again", name, version)
    else:
        logger.info("%s/%s is ready after %.2f s", name, version, now.resident.loading_s)


def _answering(serving: Serving) -> dict[Pointer, Key]:
    """The aliases that are answered, and by which version."""
    return {
        pointer: key
        for pointer, key in serving.targets.items()
        if serving.entries[key].analysis is not None
    }


def _analysis(entry: Entry) -> Analysis:
    """What answers for an entry that is ready."""
    if entry.analysis is None:
        raise NotReady(f"{entry.name}/{entry.version} is {entry.state}")
    return entry.analysis
