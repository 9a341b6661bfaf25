"""Loaded versions: the versions in memory, the last attempt at each, and freeing the others.

    add(key, files, opened) -> LoadedVersion        fail(key, files, reason) -> remembered
    keep(keys): versions that are not among them are retired -> freed by a thread, once released

The files of a published version never change. A fingerprint that did change is therefore a copy
still under way, or damage, and the only reason to load the same version again.
"""

import contextlib
import logging
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from radiograph.errors import InvalidVersion, ModelNotFound
from radiograph.manifest import MANIFEST_NAME
from radiograph.repository.integrity.version_files import list_files
from radiograph.repository.repository import Repository
from service import malloc
from service.observability.observer import Observer
from service.registry.loading.loader import OpenVersion
from service.registry.state import LoadedVersion, VersionKey

logger = logging.getLogger("g2d.loading")

Fingerprint = tuple[tuple[str, int, int, int], ...]
"""Path, inode, size and modification time in ns of every file of a version, and its signature."""


@dataclass(frozen=True)
class _Attempt:
    """The last attempt to load a version.

    Attributes:
        files: fingerprint of what was loaded; None has the next reconciliation try again.
        reason: why the attempt failed, or None.
    """

    files: Fingerprint | None
    reason: str | None = None


class LoadedVersions:
    """The versions in memory. Not safe to call from several threads: `Reconciler` guards it.

    Args:
        repository: the model repository.
        observer: notified when a version is freed.
    """

    def __init__(self, repository: Repository, observer: Observer) -> None:
        self._repository = repository
        self._observer = observer
        self._versions: dict[VersionKey, LoadedVersion] = {}
        self._replaced: list[LoadedVersion] = []
        self._attempts: dict[VersionKey, _Attempt] = {}
        self._gone: set[VersionKey] = set()
        self._freeing = ThreadPoolExecutor(1, thread_name_prefix="freeing")

    def get(self, key: VersionKey) -> LoadedVersion | None:
        """Return a version if it is loaded."""
        return self._versions.get(key)

    def reason(self, key: VersionKey) -> str | None:
        """Return why the last attempt to load a version failed, or that its folder has gone."""
        if key in self._gone:
            return "its folder has gone from the repository; it is answered from memory"
        return self._attempts[key].reason if key in self._attempts else None

    def is_settled(self, key: VersionKey) -> bool:
        """Return whether a version was tried, and trying again would change nothing."""
        last, files = self._attempts.get(key), fingerprint(self._repository, key)
        if last is None:
            return False
        if files is None and key in self._versions:
            self._mark_gone(key)
            return True
        self._gone.discard(key)
        return files == last.files

    def is_sound(self, key: VersionKey) -> bool:
        """Return whether a version is loaded, and its folder still holds what was loaded."""
        loaded = key in self._versions and self._attempts[key].reason is None
        return loaded and self.is_settled(key) and key not in self._gone

    def add(
        self, key: VersionKey, files: Fingerprint | None, opened: OpenVersion, seconds: float
    ) -> None:
        """Take in a version that was loaded; one of the same number is freed at the next `keep`.

        Args:
            key: the version.
            files: fingerprint from before loading.
            opened: the version.
            seconds: time that loading took.
        """
        self._attempts[key] = _Attempt(files)
        if key in self._versions:
            self._replaced.append(self._versions[key])
        self._versions[key] = LoadedVersion(
            opened.analysis, opened.providers, seconds, self._free_later(key, opened)
        )

    def fail(self, key: VersionKey, files: Fingerprint | None, reason: str) -> None:
        """Remember that a version could not be loaded; one of that number in memory stays.

        Args:
            key: the version.
            files: fingerprint from before loading, or None if the files are not at fault.
            reason: why, fit to be shown to clients.
        """
        self._attempts[key] = _Attempt(files, reason)

    def keep(self, keys: Collection[VersionKey]) -> None:
        """Retire the versions that are not among these or were loaded anew, and forget them.

        It is called after the table that no longer routes to them was published, so that every
        request finds a version that it can hold.
        """
        others = [self._versions.pop(key) for key in self._versions.keys() - set(keys)]
        for version in (*others, *self._replaced):
            version.retire()
        self._replaced.clear()
        self._attempts = {key: last for key, last in self._attempts.items() if key in keys}
        self._gone.intersection_update(keys)

    def close(self) -> None:
        """Return once every retired version without a holder is freed. Blocks."""
        self._freeing.shutdown(wait=True)

    def _mark_gone(self, key: VersionKey) -> None:
        if key not in self._gone:
            logger.warning("the folder of %s/%s has gone; it is answered from memory", *key)
            self._gone.add(key)

    def _free_later(self, key: VersionKey, opened: OpenVersion) -> Callable[[], None]:
        """Return a call that frees a version in a thread: its last holder may be the event loop."""

        def free() -> None:
            nonlocal opened
            try:
                opened.close()
                del opened
                malloc.give_back()
                logger.info("%s/%s is freed", *key)
                self._observer.version(*key, "freed")
            except Exception:
                logger.exception("%s/%s could not be freed", *key)

        def submit() -> None:
            try:
                self._freeing.submit(free)
            except RuntimeError:  # closed before the last request had ended
                free()

        return submit


def fingerprint(repository: Repository, key: VersionKey) -> Fingerprint | None:
    """Return the fingerprint of a version; None if there is no such version to be loaded."""
    try:
        return _fingerprint(repository.folder(*key), repository.signature_file(*key))
    except (ModelNotFound, InvalidVersion, OSError):
        return None


def _fingerprint(folder: Path, signature: Path) -> Fingerprint:
    """Stat every file below a folder, and the signature; none of them is read.

    Raises:
        InvalidVersion: something below is neither a regular file nor a folder.
        OSError: something cannot be read.
    """
    files = {**list_files(folder), MANIFEST_NAME: (folder / MANIFEST_NAME).lstat()}
    with contextlib.suppress(FileNotFoundError):
        files[signature.name] = signature.lstat()
    return tuple(
        (path, status.st_ino, status.st_size, status.st_mtime_ns)
        for path, status in sorted(files.items(), key=lambda item: item[0])
    )
