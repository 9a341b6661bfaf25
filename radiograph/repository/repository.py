"""Repository: the model versions on disk, found, checked, published and pointed to.

    models/
      g2d-cxr/
        1/  2/            versions; never change once they are there
        aliases.json      stable -> 2 (see `alias_history`)
        .publish-XXXX/    a version being written; the dot hides it
        .publish.lock .aliases.lock

A version exists when its folder holds `manifest.json`; how it gets there at once is told in
`publishing`. Readers take no lock and write nothing, so a read-only folder serves as well.
Whatever else lies in the folder is passed over, never an error for what stands beside it.
"""

import contextlib
import fcntl
import hashlib
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from radiograph.errors import AliasConflict, InvalidVersion, ModelNotFound, PublishRefused
from radiograph.manifest import MANIFEST_NAME, ModelManifest
from radiograph.repository.aliases import ALIAS_PATTERN, ALIASES_NAME, AliasHistory
from radiograph.repository.publishing import write_version
from radiograph.repository.version_files import (
    check_files,
    digest_files,
    entries,
    is_version,
    read_json,
    sync_folder,
    write_file,
)

__all__ = ["DEFAULT_ALIAS", "Repository", "digest_files"]

DEFAULT_ALIAS = "stable"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_ALIAS = re.compile(ALIAS_PATTERN)


class Repository:
    """All models below one folder. Cheap to make; reads the disk on every call.

    Args:
        root: the folder; it need not be there yet.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """Models that have a version, sorted. Never raises for what is on the disk."""
        return [name for name in entries(self.root) if _NAME.fullmatch(name) and self._has(name)]

    def versions(self, name: str) -> list[int]:
        """Version numbers of a model, ascending; empty for an unknown model.

        A listed version has a manifest, not necessarily a valid one: `load_manifest` and
        `verify` say so.
        """
        if not _NAME.fullmatch(name):
            return []
        home = self.root / name
        return sorted(
            int(entry)
            for entry in entries(home)
            if _NUMBER.fullmatch(entry) and is_version(home / entry)
        )

    def aliases(self, name: str) -> dict[str, int]:
        """Where each alias of a model points; empty when there is no `aliases.json`.

        Raises:
            ModelNotFound: no such model.
            InvalidVersion: `aliases.json` is corrupt.
        """
        self._require(name)
        return self._history(name).targets()

    def former(self, name: str) -> set[int]:
        """Versions that a roll-back of some alias would go to, where they are still there.

        Raises:
            ModelNotFound: no such model.
            InvalidVersion: `aliases.json` is corrupt.
        """
        self._require(name)
        there, history = set(self.versions(name)), self._history(name)
        before = {history.previous(alias) for alias in history.aliases}
        return {number for number in before if number in there and number is not None}

    def resolve(self, name: str, ref: str | int = DEFAULT_ALIAS) -> int:
        """The version that a number (`3`, `"3"`) or an alias stands for.

        Raises:
            ModelNotFound: no such model, version or alias.
            InvalidVersion: `aliases.json` is corrupt.
        """
        self._require(name)
        if isinstance(ref, str) and not _NUMBER.fullmatch(ref):
            number = self._history(name).targets().get(ref)
            if number is None:
                raise ModelNotFound(f"model {name} has no alias {_shown(ref)}")
        else:
            number = int(ref)
        self.folder(name, number)
        return number

    def folder(self, name: str, version: int) -> Path:
        """The folder of a version.

        Raises:
            ModelNotFound: no such model or version.
        """
        self._require(name)
        number = str(version) if 0 < version < 10**9 else ""
        folder = self.root / name / number
        if not number or not is_version(folder):
            raise ModelNotFound(f"model {name} has no version {number or 'of that number'}")
        return folder

    def load_manifest(self, name: str, version: int) -> ModelManifest:
        """What a version says of itself.

        Raises:
            ModelNotFound: no such model or version.
            InvalidVersion: the manifest is corrupt, or speaks of another version.
        """
        with _about(name, version):
            manifest = ModelManifest.from_json(self._manifest_bytes(name, version))
            if (manifest.name, manifest.version) != (name, version):
                raise InvalidVersion(f"the manifest is of {manifest.name}/{manifest.version}")
        return manifest

    def digest(self, name: str, version: int) -> str:
        """SHA-256 of the manifest, which holds those of all files: names the whole version.

        Raises:
            ModelNotFound: no such model or version.
            InvalidVersion: the manifest cannot be read.
        """
        with _about(name, version):
            return hashlib.sha256(self._manifest_bytes(name, version)).hexdigest()

    def verify(self, name: str, version: int) -> None:
        """Hold every file against the manifest.

        Raises:
            ModelNotFound: no such model or version.
            InvalidVersion: the manifest is corrupt; a file is missing, unknown, altered, a
                link or a device; a graph keeps values outside of itself.
        """
        manifest = self.load_manifest(name, version)
        with _about(name, version):
            check_files(self.folder(name, version), manifest)

    def publish(
        self,
        name: str,
        stage: Path,
        build: Callable[[int], ModelManifest],
        alias: str | None = None,
    ) -> int:
        """Make a folder of files the next version of a model, wholly or not at all.

        Args:
            name: the model; its first version makes it.
            stage: all files but `manifest.json`; copied, and left as they are.
            build: number -> manifest; gates that need the number may refuse here.
            alias: pointed to the new version once it is there.

        Returns:
            The number, greater than that of any version that is there and of any that an
            alias ever pointed to.

        Raises:
            PublishRefused: a name, a file, the manifest or `aliases.json` does not hold, or
                the disk is full. Nothing was published.
            ModelNotFound: `alias` is not a name for an alias. Nothing was published.
            OSError: the version is there, but not surely on the disk, or without its alias.
        """
        if not _NAME.fullmatch(name):
            raise PublishRefused(f"not a model name: {_shown(name)}")
        if alias is not None:
            _require_alias(alias)
        try:
            used = self._history(name).mentioned()
            number = write_version(self.root / name, stage, build, used)
        except InvalidVersion as error:
            raise PublishRefused(f"nothing was published: {error}") from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise PublishRefused(f"nothing was published: {reason}") from error
        sync_folder(self.root / name)
        if alias is not None:
            self.set_alias(name, alias, number)
        return number

    def set_alias(self, name: str, alias: str, version: int, expected: int | None = None) -> None:
        """Point an alias to a version; nothing happens when it points there already.

        Args:
            name: the model.
            alias: the alias, made when it is new.
            version: where it shall point.
            expected: where it must point now, 0 for nowhere; None does not care.

        Raises:
            ModelNotFound: no such model or version, or not a name for an alias.
            InvalidVersion: the version's manifest, or `aliases.json`, is corrupt.
            AliasConflict: it does not point to `expected`.
            OSError: the folder cannot be written.
        """
        _require_alias(alias)
        self.load_manifest(name, version)
        with self._changing(name) as history:
            _require_expected(history, alias, expected)
            if history.targets().get(alias) != version:
                self._save(name, history.changed(alias, version, "set"))

    def previous(self, name: str, alias: str) -> int:
        """Where a roll-back would point an alias.

        Raises:
            ModelNotFound: no such model or alias, or nothing came before.
            InvalidVersion: `aliases.json` is corrupt.
        """
        self._require(name)
        version = self._history(name).previous(alias)
        if version is None:
            raise ModelNotFound(f"alias {_shown(alias)} of {name} has nothing to go back to")
        return version

    def rollback(self, name: str, alias: str, expected: int | None = None) -> int:
        """Point an alias back to where it pointed before, and further back the next time.

        Args:
            name: the model.
            alias: the alias.
            expected: where it must point now; None does not care.

        Returns:
            The version it points to now.

        Raises:
            ModelNotFound: no such model or alias, nothing came before, or it is gone.
            InvalidVersion: that version's manifest, or `aliases.json`, is corrupt.
            AliasConflict: it does not point to `expected`.
            OSError: the folder cannot be written.
        """
        self._require(name)
        with self._changing(name) as history:
            _require_expected(history, alias, expected)
            version = history.previous(alias)
            if version is None:
                raise ModelNotFound(f"alias {_shown(alias)} of {name} has nothing to go back to")
            self.load_manifest(name, version)
            self._save(name, history.changed(alias, version, "rollback"))
        return version

    def _has(self, name: str) -> bool:
        return bool(self.versions(name))

    def _require(self, name: str) -> None:
        if not self._has(name):
            raise ModelNotFound(f"no model {_shown(name)}")

    def _manifest_bytes(self, name: str, version: int) -> bytes:
        path = self.folder(name, version) / MANIFEST_NAME
        try:
            return read_json(path)
        except OSError as error:
            raise InvalidVersion(f"{MANIFEST_NAME}: {error.strerror}") from error

    def _history(self, name: str) -> AliasHistory:
        try:
            return AliasHistory.from_json(read_json(self.root / name / ALIASES_NAME))
        except FileNotFoundError:
            return AliasHistory()
        except OSError as error:
            raise InvalidVersion(f"{name}/{ALIASES_NAME}: {error.strerror}") from error

    @contextlib.contextmanager
    def _changing(self, name: str) -> Iterator[AliasHistory]:
        """The aliases of a model while nobody else can change them."""
        with (self.root / name / ".aliases.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self._history(name)

    def _save(self, name: str, history: AliasHistory) -> None:
        home = self.root / name
        temporary = home / f".aliases-{secrets.token_hex(8)}"
        try:
            write_file(temporary, history.to_json().encode())
            temporary.replace(home / ALIASES_NAME)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(home)


@contextlib.contextmanager
def _about(name: str, version: int) -> Iterator[None]:
    """Say of which version an error speaks."""
    try:
        yield
    except InvalidVersion as error:
        raise InvalidVersion(f"{name}/{version}: {error}") from error


def _require_alias(alias: str) -> None:
    if not _ALIAS.fullmatch(alias):
        raise ModelNotFound(f"not a name for an alias: {_shown(alias)}")


def _require_expected(history: AliasHistory, alias: str, expected: int | None) -> None:
    current = history.targets().get(alias, 0)
    if expected is not None and current != expected:
        where = f"version {current}" if current else "no version"
        raise AliasConflict(f"alias {_shown(alias)} points to {where}, not to {expected}")


def _shown(text: str) -> str:
    """Any text, safe and short enough for one line of a log."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
