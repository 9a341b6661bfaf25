"""A repository whose versions are in a store: read from a mirror, written to the store first.

    publish: version made in a folder of its own -> blobs -> index.json if unchanged -> mirror
    aliases: aliases.json of the store, replaced if unchanged                        -> mirror

Each change of the store is one conditional write, so that it happens or does not, whenever a writer
is killed. The mirror follows.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError

from radiograph.errors import (
    AliasConflict,
    InvalidVersion,
    ModelNotFound,
    PublishRefused,
    StoreConflict,
)
from radiograph.manifest import MANIFEST_NAME, ModelManifest
from radiograph.repository.aliases import ALIASES_NAME, AliasFile, AliasHistory
from radiograph.repository.integrity.index import INDEX_NAME, Index
from radiograph.repository.integrity.signatures import SecretKey, SignaturePolicy
from radiograph.repository.integrity.version_files import write_file
from radiograph.repository.names import MODEL_NAME, quoted, require_alias_name
from radiograph.repository.repository import Repository
from radiograph.repository.store.mirror import Mirror
from radiograph.repository.store.object_store import ObjectStore, Text
from radiograph.repository.store.version_holds import hold

_ATTEMPTS = 5


class StoredRepository(Repository):
    """All models at one location of a store.

    Args:
        store: the store.
        root: folder of the mirror.
        policy: the signatures that versions must have; None looks at none.
    """

    def __init__(
        self, store: ObjectStore, root: Path, policy: SignaturePolicy | None = None
    ) -> None:
        super().__init__(root, policy)
        self._store = store
        self._mirror = Mirror(store, root)

    def refresh(self) -> None:
        """Take up what is new in the store.

        Raises:
            StoreUnavailable, InvalidVersion, OSError: as `Mirror.refresh`.
        """
        self._mirror.refresh()

    @contextlib.contextmanager
    def hold(self, name: str, version: int) -> Iterator[None]:
        """Keep a version in the mirror while the context lasts, even if the store drops it.

        Raises:
            ModelNotFound: the model or version does not exist.
        """
        with contextlib.ExitStack() as held:
            folder = self.folder(name, version)
            try:
                held.enter_context(hold(folder))
            except (InvalidVersion, OSError):
                raise ModelNotFound(
                    f"model {name} has no version {version} any more", self.root
                ) from None
            yield

    def publish(
        self,
        name: str,
        stage: Path,
        build: Callable[[int], ModelManifest],
        alias: str | None = None,
    ) -> int:
        """Publish to the store, as `Repository.publish` does to a folder.

        Raises:
            PublishRefused: as there, or other publishers were faster each time.
            StoreUnavailable: the store does not answer; the version may or may not exist.
        """
        if not MODEL_NAME.fullmatch(name):
            raise PublishRefused(f"not a model name: {quoted(name)}")
        if alias is not None:
            require_alias_name(alias)
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(StoreConflict):  # another publisher has taken the number
                number = self._publish_once(name, stage, build)
                break
        else:
            raise PublishRefused("nothing was published: the index keeps changing; try again")
        self._mirror.refresh()
        if alias is not None:
            self.set_alias(name, alias, number)
        return number

    def upload(self, source: Repository, name: str) -> list[int]:
        """Copy the versions of another repository, under their numbers, and its aliases.

        Args:
            source: the repository to copy from.
            name: the model.

        Returns:
            The numbers of the versions that the store lacked.

        Raises:
            ModelNotFound: the model does not exist.
            InvalidVersion: a version is not sound, or the store has another one of its number.
            StoreConflict: the store was changed at the same time; do it again.
            StoreUnavailable: the store does not answer.
        """
        before = self._store.read(name, INDEX_NAME)
        digests = _index(before).digests
        verified = {number: source.verify(name, number) for number in source.versions(name)}
        for number, version in verified.items():
            _index(before).check(number, version.digest)
        new = {n: version.digest for n, version in verified.items() if n not in digests}
        for number in new:
            self._put_version(name, verified[number].folder)
        if new:
            self._put_index(name, {**digests, **new}, before)
        aliases = AliasFile(source.root / name).read()
        if aliases.aliases and self._store.read(name, ALIASES_NAME) is None:
            self._store.replace(name, ALIASES_NAME, aliases.to_json().encode(), None)
        self._mirror.refresh()
        return list(new)

    def sign(self, name: str, version: int, key: SecretKey) -> Path:
        """Sign a version as `Repository.sign`, and put the signature into the store as well."""
        path = super().sign(name, version, key)
        file = f"signatures/{path.name}"
        self._store.replace(name, file, path.read_bytes(), self._store.read(name, file))
        return path

    def _publish_once(self, name: str, stage: Path, build: Callable[[int], ModelManifest]) -> int:
        """Publish under the next number of the index as it is now.

        Raises:
            StoreConflict: another publisher was faster.
        """
        index, aliases = (self._store.read(name, file) for file in (INDEX_NAME, ALIASES_NAME))
        with TemporaryDirectory(prefix="g2d-publish-") as temporary:
            local = Repository(Path(temporary))
            folder = local.root / name
            folder.mkdir()
            for file, text in ((INDEX_NAME, index), (ALIASES_NAME, aliases)):
                if text is not None:
                    write_file(folder / file, text.data)
            number = local.publish(name, stage, build)
            self._put_version(name, local.folder(name, number))
            digests = {**_index(index).digests, number: local.digest(name, number)}
            self._put_index(name, digests, index)
        return number

    def _put_version(self, name: str, folder: Path) -> None:
        """Upload the files of a version; nobody sees them before the index names it."""
        manifest = ModelManifest.from_json((folder / MANIFEST_NAME).read_bytes())
        for path, digest in manifest.files.items():
            self._store.put_blob(name, digest, folder / path)
        text = (folder / MANIFEST_NAME).read_bytes()
        self._store.put_blob(name, hashlib.sha256(text).hexdigest(), folder / MANIFEST_NAME)

    def _put_index(self, name: str, digests: dict[int, str], before: Text | None) -> None:
        index = Index(digests=dict(sorted(digests.items())))
        data = (index.model_dump_json(indent=2) + "\n").encode()
        self._store.replace(name, INDEX_NAME, data, before)

    def _alias_file(self, name: str) -> AliasFile:
        return _StoredAliasFile(self._store, self.root / name)


class _StoredAliasFile(AliasFile):
    """The aliases of one model: read from the mirror, changed in the store."""

    def __init__(self, store: ObjectStore, folder: Path) -> None:
        super().__init__(folder)
        self._store = store
        self._name = folder.name
        self._before: Text | None = None

    @contextlib.contextmanager
    def locked(self) -> Iterator[AliasHistory]:
        """Give the history that the store has now; `replace` refuses if it changes meanwhile."""
        with super().locked():
            self._before = self._store.read(self._name, ALIASES_NAME)
            if self._before is None:
                yield AliasHistory()
            else:
                yield AliasHistory.from_json(self._before.data)

    def replace(self, history: AliasHistory) -> None:
        """Write a new history to the store, and then to the mirror.

        Raises:
            AliasConflict: another writer has changed an alias of the model meanwhile.
            StoreUnavailable: the store does not answer; the alias may or may not have moved.
        """
        data = history.to_json().encode()
        try:
            self._store.replace(self._name, ALIASES_NAME, data, self._before)
        except StoreConflict as error:
            raise AliasConflict(str(error)) from None
        super().replace(history)


def _index(text: Text | None) -> Index:
    try:
        return Index() if text is None else Index.model_validate_json(text.data)
    except ValidationError:
        raise InvalidVersion(f"{INDEX_NAME} of the store is not valid") from None
