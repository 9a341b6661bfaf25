"""The model repository: lookup, verification and publication of versions, and their aliases.

    models/
      g2d-cxr/
        1/  2/            versions, which never change
        aliases.json      stable -> 2 (see `aliases`)
        .publish-XXXX/    a version that is being written, hidden by the dot
        .publish.lock .aliases.lock

A version exists if its folder holds `manifest.json`; `publishing` makes a whole version appear
at once. Readers take no lock and write nothing, so a read-only folder can be served. Other files
in the folder are ignored.
"""

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from radiograph.errors import AliasConflict, InvalidVersion, ModelNotFound, PublishRefused
from radiograph.manifest import MANIFEST_NAME, ModelManifest
from radiograph.repository.aliases import ALIAS_PATTERN, AliasFile, AliasHistory
from radiograph.repository.publishing import write_version
from radiograph.repository.version_files import (
    check_files,
    digest_files,
    entries,
    is_version,
    read_json,
    sync_folder,
)

__all__ = ["DEFAULT_ALIAS", "Repository", "digest_files"]

DEFAULT_ALIAS = "stable"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_ALIAS = re.compile(ALIAS_PATTERN)


class Repository:
    """All models in one folder. Holds no state; every call reads the disk.

    Args:
        root: the folder; it need not exist yet.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """Return the names of the models that have a version, sorted. Never raises."""
        return [
            name for name in entries(self.root) if _NAME.fullmatch(name) and self._has_version(name)
        ]

    def versions(self, name: str) -> list[int]:
        """Return the version numbers of a model, ascending; empty for an unknown model.

        A listed version has a manifest, which `load_manifest` and `verify` may still refuse.
        """
        if not _NAME.fullmatch(name):
            return []
        folder = self.root / name
        return sorted(
            int(entry)
            for entry in entries(folder)
            if _NUMBER.fullmatch(entry) and is_version(folder / entry)
        )

    def aliases(self, name: str) -> dict[str, int]:
        """Return the version that each alias points to; empty if there is no `aliases.json`.

        Raises:
            ModelNotFound: the model does not exist.
            InvalidVersion: `aliases.json` is corrupt.
        """
        self._require_model(name)
        return self._alias_file(name).read().targets()

    def former(self, name: str) -> set[int]:
        """Return the existing versions that a roll-back of any alias would restore.

        Raises:
            ModelNotFound: the model does not exist.
            InvalidVersion: `aliases.json` is corrupt.
        """
        self._require_model(name)
        existing, history = set(self.versions(name)), self._alias_file(name).read()
        previous = {history.previous(alias) for alias in history.aliases}
        return {number for number in previous if number in existing and number is not None}

    def resolve(self, name: str, ref: str | int = DEFAULT_ALIAS) -> int:
        """Return the version that a number (`3` or `"3"`) or an alias denotes.

        Raises:
            ModelNotFound: the model, version or alias does not exist.
            InvalidVersion: `aliases.json` is corrupt.
        """
        self._require_model(name)
        if isinstance(ref, str) and not _NUMBER.fullmatch(ref):
            number = self._alias_file(name).read().targets().get(ref)
            if number is None:
                raise ModelNotFound(f"model {name} has no alias {_quoted(ref)}")
        else:
            number = int(ref)
        self.folder(name, number)
        return number

    def folder(self, name: str, version: int) -> Path:
        """Return the folder of a version.

        Raises:
            ModelNotFound: the model or version does not exist.
        """
        self._require_model(name)
        number = str(version) if 0 < version < 10**9 else ""
        folder = self.root / name / number
        if not number or not is_version(folder):
            raise ModelNotFound(f"model {name} has no version {number or 'of that number'}")
        return folder

    def load_manifest(self, name: str, version: int) -> ModelManifest:
        """Read the manifest of a version.

        Raises:
            ModelNotFound: the model or version does not exist.
            InvalidVersion: the manifest is corrupt or describes another version.
        """
        with _naming_version(name, version):
            manifest = ModelManifest.from_json(self._manifest_bytes(name, version))
            if (manifest.name, manifest.version) != (name, version):
                raise InvalidVersion(f"the manifest is of {manifest.name}/{manifest.version}")
        return manifest

    def digest(self, name: str, version: int) -> str:
        """Return the SHA-256 of the manifest, which identifies the whole version.

        The manifest holds the SHA-256 of every other file.

        Raises:
            ModelNotFound: the model or version does not exist.
            InvalidVersion: the manifest cannot be read.
        """
        with _naming_version(name, version):
            return hashlib.sha256(self._manifest_bytes(name, version)).hexdigest()

    def verify(self, name: str, version: int) -> None:
        """Verify every file against the manifest.

        Raises:
            ModelNotFound: the model or version does not exist.
            InvalidVersion: the manifest is corrupt; a file is missing, unknown, altered, a
                link or a device; or a graph keeps values in another file.
        """
        manifest = self.load_manifest(name, version)
        with _naming_version(name, version):
            check_files(self.folder(name, version), manifest)

    def publish(
        self,
        name: str,
        stage: Path,
        build: Callable[[int], ModelManifest],
        alias: str | None = None,
    ) -> int:
        """Publish a folder of files as the next version of a model, completely or not at all.

        Args:
            name: the model; it is created with its first version.
            stage: folder of all files except `manifest.json`; copied and left unchanged.
            build: returns the manifest for a number; checks that need the number may refuse.
            alias: alias that is pointed to the new version once it exists.

        Returns:
            The number, greater than that of any existing version and of any version that an
            alias ever pointed to.

        Raises:
            PublishRefused: a name, a file, the manifest or `aliases.json` fails verification,
                or the disk is full. Nothing was published.
            ModelNotFound: `alias` is not a valid alias name. Nothing was published.
            OSError: the version exists, but may not be durable yet, or lacks its alias.
        """
        if not _NAME.fullmatch(name):
            raise PublishRefused(f"not a model name: {_quoted(name)}")
        if alias is not None:
            _require_alias_name(alias)
        try:
            used = self._alias_file(name).read().mentioned()
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
        """Point an alias to a version; does nothing if it points there already.

        Args:
            name: the model.
            alias: the alias; created if it is new.
            version: the new target.
            expected: the version that the alias must point to now, 0 for none; None accepts any.

        Raises:
            ModelNotFound: the model or version does not exist, or the alias name is not valid.
            InvalidVersion: the manifest of the version, or `aliases.json`, is corrupt.
            AliasConflict: the alias does not point to `expected`.
            OSError: the folder cannot be written.
        """
        _require_alias_name(alias)
        self.load_manifest(name, version)
        file = self._alias_file(name)
        with file.locked() as history:
            _require_expected(history, alias, expected)
            if history.targets().get(alias) != version:
                file.replace(history.changed(alias, version, "set"))

    def previous(self, name: str, alias: str) -> int:
        """Return the version that a roll-back of an alias would restore.

        Raises:
            ModelNotFound: the model or alias does not exist, or has no previous version.
            InvalidVersion: `aliases.json` is corrupt.
        """
        self._require_model(name)
        return _previous(self._alias_file(name).read(), name, alias)

    def rollback(self, name: str, alias: str, expected: int | None = None) -> int:
        """Point an alias back to its previous version, and further back the next time.

        Args:
            name: the model.
            alias: the alias.
            expected: the version that the alias must point to now; None accepts any.

        Returns:
            The version that the alias points to afterwards.

        Raises:
            ModelNotFound: the model, the alias or its previous version does not exist.
            InvalidVersion: the manifest of that version, or `aliases.json`, is corrupt.
            AliasConflict: the alias does not point to `expected`.
            OSError: the folder cannot be written.
        """
        self._require_model(name)
        file = self._alias_file(name)
        with file.locked() as history:
            _require_expected(history, alias, expected)
            version = _previous(history, name, alias)
            self.load_manifest(name, version)
            file.replace(history.changed(alias, version, "rollback"))
        return version

    def _alias_file(self, name: str) -> AliasFile:
        return AliasFile(self.root / name)

    def _has_version(self, name: str) -> bool:
        return bool(self.versions(name))

    def _require_model(self, name: str) -> None:
        if not self._has_version(name):
            raise ModelNotFound(f"no model {_quoted(name)}")

    def _manifest_bytes(self, name: str, version: int) -> bytes:
        path = self.folder(name, version) / MANIFEST_NAME
        try:
            return read_json(path)
        except OSError as error:
            raise InvalidVersion(f"{MANIFEST_NAME}: {error.strerror}") from error


@contextlib.contextmanager
def _naming_version(name: str, version: int) -> Iterator[None]:
    """Prefix the message of an `InvalidVersion` with the name and number of the version."""
    try:
        yield
    except InvalidVersion as error:
        raise InvalidVersion(f"{name}/{version}: {error}") from error


def _require_alias_name(alias: str) -> None:
    if not _ALIAS.fullmatch(alias):
        raise ModelNotFound(f"not a valid alias name: {_quoted(alias)}")


def _require_expected(history: AliasHistory, alias: str, expected: int | None) -> None:
    current = history.targets().get(alias, 0)
    if expected is not None and current != expected:
        where = f"version {current}" if current else "no version"
        raise AliasConflict(f"alias {_quoted(alias)} points to {where}, not to {expected}")


def _previous(history: AliasHistory, name: str, alias: str) -> int:
    version = history.previous(alias)
    if version is None:
        raise ModelNotFound(f"alias {_quoted(alias)} of {name} has no previous version")
    return version


def _quoted(text: str) -> str:
    """Return any text quoted and shortened, so that it is safe in one line of a log."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
