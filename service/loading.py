"""Loading: a version's folder becomes something that answers, or never becomes ready.

    aliases -> verify digests -> build backend -> replay golden -> ready
                  '---------- any fault ---------------'-> failed, with the reason

What a client names is looked up among what is loaded; it never reaches the file system.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from radiograph.dicom import Limits as ImageLimits
from radiograph.errors import ModelNotFound, RadiographError
from radiograph.manifest import ModelManifest
from radiograph.repository import Repository
from service import golden
from service.analysis import Analysis, Limits
from service.backends.base import Backend
from service.batching import Engine
from service.errors import NotReady
from service.results import ModelIdentity
from service.settings import Settings

logger = logging.getLogger("g2d.loading")

BackendFactory = Callable[[Path, ModelManifest], Backend]


class State(StrEnum):
    """Where a version is on its way to answering."""

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True)
class Entry:
    """One version that some alias points to.

    Attributes:
        name, version: which.
        aliases: the aliases that point to it, in the order of the settings.
        state: `ready` answers, the others do not.
        reason: why it failed, fit to be shown.
        digest: SHA-256 of its manifest, once read.
        providers: what really computes, once loaded.
        analysis: what answers, once ready.
    """

    name: str
    version: int
    aliases: tuple[str, ...]
    state: State = State.LOADING
    reason: str | None = None
    digest: str | None = None
    providers: tuple[str, ...] = ()
    analysis: Analysis | None = None


class Models:
    """The versions that are served. One thread loads, any thread asks.

    Args:
        settings: where the repository is and what to load of it.
        backends: builds the backend of a verified folder.
        engine: runs the batches of every version.
    """

    def __init__(
        self, settings: Settings, backends: BackendFactory, engine: Engine | None = None
    ) -> None:
        self._settings = settings
        self._backends = backends
        self._engine = engine
        self._repository = Repository(settings.models_dir)
        self._entries: dict[tuple[str, int], Entry] = {}
        self._done = threading.Event()

    def load(self) -> None:
        """Load every version that an alias of the settings points to. Blocks."""
        try:
            for entry in self._wanted():
                self._keep(entry)
            for entry in list(self._entries.values()):
                self._load(entry)
            self._report()
        except Exception:
            logger.exception("loading ended early")
        finally:
            self._done.set()

    def wait(self, timeout_s: float) -> bool:
        """Block until loading has ended, well or not; False when it takes longer."""
        return self._done.wait(timeout_s)

    def close(self) -> None:
        """Free every version."""
        for entry in self._entries.values():
            if entry.analysis is not None:
                entry.analysis.close()
        self._entries = {}

    def entries(self) -> tuple[Entry, ...]:
        """Every version that an alias points to, whatever its state."""
        return tuple(self._entries.values())

    def find(self, name: str | None = None, reference: str | None = None) -> Entry:
        """The version that a request means.

        Args:
            name: a model, or None for the default one.
            reference: a number or an alias, or None for the default alias.

        Raises:
            NotReady: nothing has been loaded yet.
            ModelNotFound: it is not among what is served.
        """
        name = self._settings.default_model if name is None else name
        reference = self._settings.default_alias if reference is None else reference
        for entry in self._entries.values():
            if entry.name == name and reference in (*entry.aliases, str(entry.version)):
                return entry
        raise self._unknown()

    def find_model(self, name: str) -> tuple[Entry, ...]:
        """Every served version of a model.

        Raises:
            NotReady: nothing has been loaded yet.
            ModelNotFound: no version of it is served.
        """
        found = tuple(entry for entry in self._entries.values() if entry.name == name)
        if not found:
            raise self._unknown()
        return found

    def default_is_ready(self) -> bool:
        """Whether a request that names neither model nor version is answered."""
        try:
            return bool(self.ready())
        except RadiographError:
            return False

    def ready(self, name: str | None = None, reference: str | None = None) -> Analysis:
        """What answers for the version that a request means.

        Raises:
            NotReady: it is still loading, or failed to load.
            ModelNotFound: it is not among what is served.
        """
        entry = self.find(name, reference)
        if entry.analysis is None:
            raise NotReady(f"{entry.name}/{entry.version} is {entry.state}")
        return entry.analysis

    def _unknown(self) -> RadiographError:
        """What to say of a model or version that is not in the table."""
        if not self._done.is_set():
            return NotReady("the models are still loading")
        names = (
            f"{entry.name}/{entry.version} ({', '.join(entry.aliases)})"
            for entry in self._entries.values()
        )
        served = "; ".join(names) or "none"
        return ModelNotFound(f"no such model or version is served; served: {served}")

    def _report(self) -> None:
        """Say it when requests that name no model will not be answered."""
        if not self.default_is_ready():
            name, alias = self._settings.default_model, self._settings.default_alias
            folder = self._settings.models_dir.resolve()
            logger.error("not ready: no sound version of %s as %s in %s", name, alias, folder)

    def _wanted(self) -> list[Entry]:
        """One entry for each version, the default model and alias first."""
        found: dict[tuple[str, int], Entry] = {}
        names = sorted(
            self._repository.names(), key=lambda name: name != self._settings.default_model
        )
        for name in names:
            pointed = self._aliases(name)
            for alias in self._settings.aliases:
                if alias in pointed:
                    key = (name, pointed[alias])
                    known = found.get(key, Entry(*key, aliases=()))
                    found[key] = replace(known, aliases=(*known.aliases, alias))
        return list(found.values())

    def _aliases(self, name: str) -> dict[str, int]:
        try:
            return self._repository.aliases(name)
        except RadiographError:
            logger.exception("the aliases of %s cannot be read", name)
            return {}

    def _keep(self, entry: Entry) -> None:
        """Replace the table as a whole, so that readers need no lock."""
        self._entries = {**self._entries, (entry.name, entry.version): entry}

    def _load(self, entry: Entry) -> None:
        """Load one version and say how it went, once the table says so too."""
        started = time.perf_counter()
        name = f"{entry.name}/{entry.version}"
        try:
            self._keep(self._build(entry))
        except RadiographError as error:
            self._keep(replace(entry, state=State.FAILED, reason=str(error)))
            logger.error("%s failed to load: %s", name, error)
        except Exception:
            reason = "unexpected error, see the log"
            self._keep(replace(entry, state=State.FAILED, reason=reason))
            logger.exception("%s failed to load", name)
        else:
            logger.info("%s is ready after %.2f s", name, time.perf_counter() - started)

    def _build(self, entry: Entry) -> Entry:
        loaded = load_version(
            self._repository,
            entry.name,
            entry.version,
            self._backends,
            limits_of(self._settings),
            self._engine,
        )
        return replace(
            entry,
            state=State.READY,
            digest=loaded.analysis.identity.digest,
            providers=loaded.backend.providers,
            analysis=loaded.analysis,
        )


@dataclass(frozen=True)
class LoadedVersion:
    """A version that answers, and what it runs on; `analysis.close` closes both."""

    analysis: Analysis
    backend: Backend


def load_version(
    repository: Repository,
    name: str,
    version: int,
    backends: BackendFactory,
    limits: Limits,
    engine: Engine | None = None,
) -> LoadedVersion:
    """Verify a version, build its backend, replay its golden outputs and measure its batches.

    Raises:
        ModelNotFound: no such version.
        InvalidVersion: a file, a graph or a golden output does not hold.
    """
    repository.verify(name, version)
    manifest = repository.load_manifest(name, version)
    folder = repository.folder(name, version)
    identity = ModelIdentity(name, version, repository.digest(name, version))
    backend = backends(folder, manifest)
    try:
        golden.replay(backend, manifest, folder)
        analysis = Analysis(identity, manifest, folder, backend, limits, engine)
    except BaseException:
        backend.close()
        raise
    return LoadedVersion(analysis, backend)


def limits_of(settings: Settings) -> Limits:
    """How much one request may ask for, by the settings."""
    return Limits(
        image=ImageLimits(max_bytes=settings.max_body_bytes, max_pixels=settings.max_pixels),
        max_phrases=settings.max_phrases,
        max_phrase_chars=settings.max_phrase_chars,
        phrase_cache=settings.phrase_cache,
    )
