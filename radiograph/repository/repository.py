"""The model repository: lookup, verification and publication of versions, and their aliases.

    models/
      g2d-cxr/
        1/  2/            versions, which never change
        2.minisig         signature of version 2 (see `signatures`)
        aliases.json      stable -> 2 (see `aliases`)
        index.json        digest of each version when it was published (see `index`)
        .publish-XXXX/    a version that is being written, hidden by the dot
        .publish.lock .aliases.lock .index.lock

A version exists if its folder holds `manifest.json`; `publishing` makes a whole version appear
at once. Readers take no lock and write nothing, so a read-only folder can be served. Other files
in the folder are ignored.
"""

import contextlib
import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from radiograph.errors import InvalidVersion, ModelNotFound, PublishRefused
from radiograph.manifest import MANIFEST_NAME, ModelManifest
from radiograph.repository.aliases import AliasFile, AliasHistory
from radiograph.repository.integrity.index import IndexFile
from radiograph.repository.integrity.signatures import SUFFIX, SecretKey, SignaturePolicy
from radiograph.repository.integrity.version_files import (
    VerifiedVersion,
    check_files,
    digest_files,
    entries,
    is_version,
    read_json,
    sync_folder,
    write_file,
)
from radiograph.repository.names import MODEL_NAME, VERSION_NUMBER, quoted, require_alias_name
from radiograph.repository.publishing import write_version

__all__ = ["DEFAULT_ALIAS", "Repository", "digest_files"]

DEFAULT_ALIAS = "stable"


class Repository:
    """All models in one folder. Holds no state; every call reads the disk.

    Attributes:
        root: the folder; it need not exist yet.
        policy: the signatures that versions must have; None looks at none.
    """

    def __init__(self, root: Path, policy: SignaturePolicy | None = None) -> None:
        self.root = root
        self.policy = policy

    def refresh(self) -> None:
        """Take up what changed elsewhere; a folder needs nothing, as every call reads it."""

    def hold(self, name: str, version: int) -> AbstractContextManager[None]:
        """Return a context during which the folder of a version is not removed by the repository.

        A folder removes nothing by itself; the mirror of a store does.

        Raises:
            ModelNotFound: the model or version does not exist.
        """
        self.folder(name, version)
        return contextlib.nullcontext()

    def names(self) -> list[str]:
        """Return the names of the models that have a version, sorted. Never raises."""
        return [
            name
            for name in entries(self.root)
            if MODEL_NAME.fullmatch(name) and self.versions(name)
        ]

    def versions(self, name: str) -> list[int]:
        """Return the version numbers of a model, ascending; empty for an unknown model.

        A listed version has a manifest, which `load_manifest` and `verify` may still refuse.
        """
        if not MODEL_NAME.fullmatch(name):
            return []
        folder = self.root / name
        return sorted(
            int(entry)
            for entry in entries(folder)
            if VERSION_NUMBER.fullmatch(entry) and is_version(folder / entry)
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
        if isinstance(ref, str) and not VERSION_NUMBER.fullmatch(ref):
            number = self._alias_file(name).read().targets().get(ref)
            if number is None:
                raise ModelNotFound(f"model {name} has no alias {quoted(ref)}", self.root)
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
            number = number or "of that number"
            raise ModelNotFound(f"model {name} has no version {number}", self.root)
        return folder

    def load_manifest(self, name: str, version: int) -> ModelManifest:
        """Read the manifest of a version.

        Raises:
            ModelNotFound: the model or version does not exist.
            InvalidVersion: the manifest is corrupt or describes another version.
        """
        with _naming_version(name, version):
            return _manifest(self._manifest_bytes(name, version), name, version)

    def digest(self, name: str, version: int) -> str:
        """Return the SHA-256 of the manifest, which identifies the whole version.

        The manifest holds the SHA-256 of every other file.

        Raises:
            ModelNotFound: the model or version does not exist.
            InvalidVersion: the manifest cannot be read.
        """
        with _naming_version(name, version):
            return hashlib.sha256(self._manifest_bytes(name, version)).hexdigest()

    def identify(self, name: str, version: int) -> str:
        """Verify the pin and the signature of a manifest, before any other file is read.

        Returns:
            The digest of the version.

        Raises:
            ModelNotFound: the model or version does not exist.
            AlteredVersion: the manifest is not the one that was published.
            UnsignedVersion: the signature that the policy asks for is missing or not valid.
            InvalidVersion: the manifest or the index cannot be read.
        """
        with _naming_version(name, version):
            return self._identified(name, version)[1]

    def verify(self, name: str, version: int) -> VerifiedVersion:
        """Verify the manifest as `identify`, and every file against the manifest.

        Raises:
            ModelNotFound: the model or version does not exist.
            AlteredVersion, UnsignedVersion: as `identify`.
            InvalidVersion: the manifest or the index is corrupt; a file is missing, unknown,
                altered, a link or a device; or a graph keeps values in another file.
        """
        folder = self.folder(name, version)
        with _naming_version(name, version):
            text, digest, pinned = self._identified(name, version)
            manifest = _manifest(text, name, version)
            check_files(folder, manifest)
        return VerifiedVersion(folder, manifest, digest, pinned)

    def sign(self, name: str, version: int, key: SecretKey) -> Path:
        """Verify a version and sign its manifest; a signature that exists is replaced.

        Returns:
            The signature file.

        Raises:
            ModelNotFound, InvalidVersion: as `verify`.
            OSError: the folder cannot be written.
        """
        digest = self.verify(name, version).digest
        text = self._manifest_bytes(name, version)
        path = self.signature_file(name, version)
        temporary = path.with_name(f".sign-{secrets.token_hex(8)}")
        try:
            signature = key.sign(text, f"{name}/{version} sha256:{digest}")
            write_file(temporary, signature.encode())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
        return path

    def signature_file(self, name: str, version: int) -> Path:
        """Return the path of the signature of a version, which need not exist.

        Raises:
            ModelNotFound: the model or version does not exist.
        """
        return self.folder(name, version).with_name(f"{version}{SUFFIX}")

    def pin(self, name: str, version: int) -> bool:
        """Verify a version that has no pin and pin its digest; does nothing if it is pinned.

        Returns:
            True if the pin is new.

        Raises:
            ModelNotFound, InvalidVersion: as `verify`.
            OSError: the folder cannot be written.
        """
        verified = self.verify(name, version)
        return self._index_file(name).pin(version, verified.digest)

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
            The number, greater than that of any existing or pinned version and of any version
            that an alias ever pointed to. Its digest is pinned in the index.

        Raises:
            PublishRefused: a name, a file, the manifest or `aliases.json` fails verification,
                or the disk is full. Nothing was published.
            ModelNotFound: `alias` is not a valid alias name. Nothing was published.
            OSError: the version exists, but may not be durable yet, or lacks its alias.
        """
        if not MODEL_NAME.fullmatch(name):
            raise PublishRefused(f"not a model name: {quoted(name)}")
        if alias is not None:
            require_alias_name(alias)
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
        require_alias_name(alias)
        self.load_manifest(name, version)
        file = self._alias_file(name)
        with file.locked() as history:
            history.require(alias, expected)
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
            history.require(alias, expected)
            version = _previous(history, name, alias)
            self.load_manifest(name, version)
            file.replace(history.changed(alias, version, "rollback"))
        return version

    def _identified(self, name: str, version: int) -> tuple[bytes, str, bool]:
        """Return the manifest of a version, its digest, and whether that is pinned."""
        text = self._manifest_bytes(name, version)
        digest, index = hashlib.sha256(text).hexdigest(), self._index_file(name).read()
        index.check(version, digest)
        if self.policy is not None:
            self.policy.check(text, self.signature_file(name, version))
        return text, digest, version in index.digests

    def _alias_file(self, name: str) -> AliasFile:
        return AliasFile(self.root / name)

    def _index_file(self, name: str) -> IndexFile:
        return IndexFile(self.root / name)

    def _require_model(self, name: str) -> None:
        if not self.versions(name):
            raise ModelNotFound(f"no model {quoted(name)}", self.root)

    def _manifest_bytes(self, name: str, version: int) -> bytes:
        path = self.folder(name, version) / MANIFEST_NAME
        try:
            return read_json(path)
        except OSError as error:
            raise InvalidVersion(f"{MANIFEST_NAME}: {error.strerror}") from error


def _manifest(text: bytes, name: str, version: int) -> ModelManifest:
    """Read the manifest of a version; refuse that of another one."""
    manifest = ModelManifest.from_json(text)
    if (manifest.name, manifest.version) != (name, version):
        raise InvalidVersion(f"the manifest is of {manifest.name}/{manifest.version}")
    return manifest


@contextlib.contextmanager
def _naming_version(name: str, version: int) -> Iterator[None]:
    """Prefix the message of an `InvalidVersion` with the name and number of the version."""
    try:
        yield
    except InvalidVersion as error:
        raise type(error)(f"{name}/{version}: {error}") from error


def _previous(history: AliasHistory, name: str, alias: str) -> int:
    version = history.previous(alias)
    if version is None:
        raise ModelNotFound(f"alias {quoted(alias)} of {name} has no previous version")
    return version
