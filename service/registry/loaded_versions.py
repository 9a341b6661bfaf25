"""Residents: versions are loaded once, a failure is remembered, what nothing wants is freed.

    folder --fingerprint--> changed since the last try? --load--> Resident, or the reason
                                                                    |
                     keep(wanted): the others are retired ----------'-> freed, off the loop

One version loads at a time, outside of the lock that guards the table. The files of a version
never change once they are there, so a fingerprint that did is a copy still under way, or damage.
"""

import logging
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from radiograph.errors import InvalidVersion, ModelNotFound, RadiographError
from radiograph.manifest import MANIFEST_NAME
from radiograph.repository.repository import Repository
from radiograph.repository.version_files import list_files
from service import malloc
from service.errors import BackendUnavailable, NotReady
from service.inference.analysis import Analysis
from service.observability.observer import Observer
from service.registry.state import LoadedVersion, State, VersionKey

logger = logging.getLogger("g2d.loading")

Fingerprint = tuple[tuple[str, int, int, int], ...]


class Loaded(Protocol):
    """A version that answers, and how to let go of it."""

    @property
    def analysis(self) -> Analysis:
        """What answers."""

    @property
    def providers(self) -> tuple[str, ...]:
        """What really computes."""

    def close(self) -> None:
        """Free what it holds."""


Load = Callable[[str, int], Loaded]


@dataclass(frozen=True)
class _Try:
    """The last attempt to load a version: of which files, and why it failed if it did."""

    fingerprint: Fingerprint | None
    reason: str | None = None


class LoadedVersions:
    """The loaded versions.

    Args:
        repository: where the versions lie.
        load: verifies, builds and warms one version.
        observer: hears of every change.
        lock: held by the caller of everything but `load`, which takes it when it is done.
    """

    def __init__(
        self,
        repository: Repository,
        load: Load,
        observer: Observer,
        lock: AbstractContextManager[object],
    ) -> None:
        self._repository = repository
        self._load = load
        self._observer = observer
        self._lock = lock
        self._residents: dict[VersionKey, LoadedVersion] = {}
        self._replaced: list[LoadedVersion] = []
        self._tries: dict[VersionKey, _Try] = {}
        self._gone: set[VersionKey] = set()
        self._freeing = ThreadPoolExecutor(1, thread_name_prefix="freeing")

    def get(self, key: VersionKey) -> LoadedVersion | None:
        """A loaded version."""
        return self._residents.get(key)

    def reason(self, key: VersionKey) -> str | None:
        """What is wrong with it: why the last attempt to load it failed, or that it is gone."""
        if key in self._gone:
            return "its folder has gone from the repository; it is answered from memory"
        return self._tries[key].reason if key in self._tries else None

    def settled(self, key: VersionKey) -> bool:
        """Whether loading it, or loading it again, would change nothing."""
        last, files = self._tries.get(key), self._fingerprint(key)
        if last is None:
            return False
        if files is None and key in self._residents:
            self._miss(key)
            return True
        self._gone.discard(key)
        return files == last.fingerprint

    def sound(self, key: VersionKey) -> bool:
        """Whether it is loaded and its folder still holds what was loaded."""
        loaded = key in self._residents and self._tries[key].reason is None
        return loaded and self.settled(key) and key not in self._gone

    def load(self, key: VersionKey) -> LoadedVersion:
        """Load a version; the one of that number that is there serves on when this fails.

        Raises:
            RadiographError: it does not hold; `reason` says so too.
        """
        name, started, files = f"{key[0]}/{key[1]}", time.perf_counter(), self._fingerprint(key)
        self._observer.version(*key, State.LOADING)
        try:
            loaded = self._load(*key)
        except Exception as error:
            reason = _shown(error)
            later = isinstance(error, BackendUnavailable | NotReady)  # not the files' fault
            with self._lock:
                self._tries[key] = _Try(None if later else files, reason)
            self._observer.version(*key, State.FAILED)
            if isinstance(error, RadiographError):
                logger.error("%s failed to load: %s", name, reason)
                raise
            logger.exception("%s failed to load", name)
            raise InvalidVersion(f"{name}: {reason}") from error
        with self._lock:
            self._tries[key] = _Try(files)
            return self._add(key, loaded, time.perf_counter() - started)

    def keep(self, wanted: Collection[VersionKey]) -> None:
        """Retire what is not among these, or was loaded anew, and forget what was tried of it.

        Called when requests find something newer already, so that none finds only this.
        """
        unwanted = [self._residents.pop(key) for key in self._residents.keys() - set(wanted)]
        for resident in (*unwanted, *self._replaced):
            resident.retire()
        self._replaced.clear()
        self._tries = {key: last for key, last in self._tries.items() if key in wanted}
        self._gone.intersection_update(wanted)

    def close(self) -> None:
        """Free every version; those that are still held, when they are let go."""
        self.keep(())
        self._freeing.shutdown(wait=True)

    def _add(self, key: VersionKey, loaded: Loaded, seconds: float) -> LoadedVersion:
        def free() -> None:
            nonlocal loaded
            loaded.close()
            del loaded
            malloc.give_back()
            logger.info("%s/%s is freed", *key)
            self._observer.version(*key, "freed")

        resident = LoadedVersion(
            loaded.analysis, loaded.providers, seconds, lambda: self._later(free)
        )
        before = self._residents.get(key)
        self._residents[key] = resident
        if before is not None:
            self._replaced.append(before)
        return resident

    def _miss(self, key: VersionKey) -> None:
        if key not in self._gone:
            logger.warning("the folder of %s/%s has gone; it is answered from memory", *key)
            self._gone.add(key)

    def _later(self, free: Callable[[], None]) -> None:
        """Free in a thread: the last one to let go may be the event loop."""
        try:
            self._freeing.submit(_logged, free)
        except RuntimeError:  # closed before the last request had ended
            _logged(free)

    def _fingerprint(self, key: VersionKey) -> Fingerprint | None:
        """What changes with any of a version's files; None when there is no such version."""
        try:
            return fingerprint(self._repository.folder(*key))
        except (ModelNotFound, InvalidVersion, OSError):
            return None


def fingerprint(folder: Path) -> Fingerprint:
    """Path, inode, size and time of every file below a folder; reads none of them.

    Raises:
        InvalidVersion: something below is neither a regular file nor a folder.
        OSError: something cannot be read.
    """
    files = {**list_files(folder), MANIFEST_NAME: (folder / MANIFEST_NAME).lstat()}
    return tuple(
        (path, status.st_ino, status.st_size, status.st_mtime_ns)
        for path, status in sorted(files.items(), key=lambda item: item[0])
    )


def _shown(error: Exception) -> str:
    """A reason fit to be shown: of an error that nobody expected, nothing is quoted."""
    return str(error) if isinstance(error, RadiographError) else "unexpected error, see the log"


def _logged(call: Callable[[], None]) -> None:
    try:
        call()
    except Exception:
        logger.exception("a version could not be freed")
