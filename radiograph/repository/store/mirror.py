"""Mirror: the models of a store in a local folder, each version whole and checked.

    index.json of the store --> manifest and files by digest --> .fetch-XXXX --rename--> 4/
                            then index.json, signatures, aliases.json
                            then versions that nothing names any more are removed

The folder is a repository as any other: those who read it need not know of the store, and read on
while the store is away. What is in it is compared with the index when a process meets it first, and
fetched again if it is not intact.

A version is removed once the index of its model, as the store has it, does not name it, no alias
points to it or would roll back to it, and no process holds it. A model whose index is missing keeps
all of its versions: a store that was emptied by mistake takes nothing from those who serve.
"""

import fcntl
import hashlib
import logging
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from radiograph.errors import InvalidVersion
from radiograph.manifest import MANIFEST_NAME, ModelManifest
from radiograph.repository.aliases import ALIASES_NAME, AliasFile
from radiograph.repository.integrity.index import INDEX_NAME, Index, IndexFile
from radiograph.repository.integrity.signatures import SUFFIX
from radiograph.repository.integrity.version_files import (
    check_files,
    entries,
    is_version,
    read_json,
    replace_file,
    sync_folder,
    sync_folders,
)
from radiograph.repository.names import VERSION_NUMBER
from radiograph.repository.store.object_store import ObjectStore
from radiograph.repository.store.version_holds import GONE, remove

logger = logging.getLogger("g2d.store")

_SIGNATURE = re.compile(rf"signatures/(?P<name>{VERSION_NUMBER.pattern}{re.escape(SUFFIX)})")
"""A signature in the store. Any other name there is left: as a file of the mirror it could replace
the index."""
_FETCH, _DAMAGED = ".fetch-", ".damaged-"
"""How the names of folders begin that are being fetched, and that were not intact."""


class Mirror:
    """Local copy of the models of a store. Several processes may share it.

    Args:
        store: the store.
        root: the folder; created by the first refresh.
    """

    def __init__(self, store: ObjectStore, root: Path) -> None:
        self._store = store
        self._root = root
        self._seen: dict[str, Mapping[str, str]] = {}
        self._intact: set[tuple[str, int, str]] = set()
        self._leftovers: set[str] = set()

    def refresh(self) -> None:
        """Fetch what is new in the store, and remove what it names no more.

        Raises:
            StoreUnavailable: the store does not answer; the folder stays as it is.
            InvalidVersion: something of a model is damaged or missing in the store. The rest of it,
                and every other model, is up to date.
            OSError: the folder cannot be written.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        faults: list[str] = []
        with (self._root / ".mirror.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for name in self._store.models():
                state = self._store.state(name)
                if self._seen.get(name) == state:
                    if name in self._leftovers:
                        self._tidy(name)
                    continue
                found = self._refresh_model(name, state)
                faults += found
                if not found:
                    self._seen[name] = state
        if faults:
            raise InvalidVersion("; ".join(faults))

    def _refresh_model(self, name: str, state: Mapping[str, str]) -> list[str]:
        """Fetch what is new of one model, and return what is wrong with it."""
        text = self._store.read(name, INDEX_NAME)
        if text is None:
            return []
        try:
            index = Index.model_validate_json(text.data)
        except ValidationError:
            return [f"{self._store.url}/{name}/{INDEX_NAME} is not valid"]
        folder = self._root / name
        folder.mkdir(exist_ok=True)
        faults = []
        for number, digest in index.digests.items():
            try:
                self._ensure(name, number, digest)
            except InvalidVersion as error:
                faults.append(f"{name}/{number}: {error}")
        replace_file(folder / INDEX_NAME, text.data)
        for file in state:
            if (signature := _SIGNATURE.fullmatch(file)) is not None:
                self._copy(name, file, folder / signature["name"])
        self._copy(name, ALIASES_NAME, folder / ALIASES_NAME)  # last: it refers to the others
        self._tidy(name)
        return faults

    def _tidy(self, name: str) -> None:
        """Remove what nothing of the model refers to; what is held is tried at every refresh."""
        folder = self._root / name
        try:
            index, aliases = IndexFile(folder).read(), AliasFile(folder).read()
        except InvalidVersion:
            return  # nothing is removed on the word of a damaged file
        previous = {aliases.previous(alias) for alias in aliases.aliases}
        named = {str(n) for n in {*index.digests, *aliases.targets().values(), *previous}}
        self._leftovers.discard(name)
        for entry in entries(folder):
            if VERSION_NUMBER.fullmatch(entry) and entry not in named:
                self._drop(name, folder / entry)
            elif entry.startswith((_FETCH, GONE)):  # whoever made it was killed: the lock is ours
                shutil.rmtree(folder / entry, ignore_errors=True)
            elif entry.startswith(_DAMAGED):
                self._drop(name, folder / entry)

    def _drop(self, name: str, folder: Path) -> None:
        """Remove a version unless a process holds it."""
        try:
            if not remove(folder):
                self._leftovers.add(name)
                return
        except (InvalidVersion, OSError):
            if is_version(folder):  # it may not be deleted, and another time will be no different
                logger.warning("%s/%s cannot be removed from the mirror", name, folder.name)
                return
            shutil.rmtree(folder, ignore_errors=True)  # no process can have opened it
        if VERSION_NUMBER.fullmatch(folder.name):
            folder.with_suffix(SUFFIX).unlink(missing_ok=True)
            logger.info("removed %s/%s, which the store names no more", name, folder.name)

    def _copy(self, name: str, file: str, target: Path) -> None:
        text = self._store.read(name, file)
        if text is not None:
            replace_file(target, text.data)

    def _ensure(self, name: str, number: int, digest: str) -> None:
        """Fetch a version unless the folder has it intact.

        Raises:
            InvalidVersion: it is damaged or missing in the store.
        """
        folder = self._root / name / str(number)
        if (name, number, digest) in self._intact and is_version(folder):
            return
        if not _is_intact(folder, digest):
            self._fetch(name, folder, digest)
            logger.info("fetched %s/%s", name, number)
        self._intact.add((name, number, digest))

    def _fetch(self, name: str, folder: Path, digest: str) -> None:
        temporary = folder.with_name(f"{_FETCH}{secrets.token_hex(8)}")
        temporary.mkdir()
        try:
            self._store.get_blob(name, digest, temporary / MANIFEST_NAME)
            manifest = ModelManifest.from_json(read_json(temporary / MANIFEST_NAME))
            for path, content in manifest.files.items():
                target = temporary / path
                target.parent.mkdir(parents=True, exist_ok=True)
                self._store.get_blob(name, content, target)
            sync_folders(temporary)
            if folder.exists():  # damaged; whoever has it open reads on
                folder.rename(folder.with_name(f"{_DAMAGED}{secrets.token_hex(8)}"))
            temporary.rename(folder)
            sync_folder(folder.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _is_intact(folder: Path, digest: str) -> bool:
    """Return whether a folder holds the version of a digest, with all its files."""
    if not is_version(folder):
        return False
    try:
        text = read_json(folder / MANIFEST_NAME)
        if hashlib.sha256(text).hexdigest() != digest:
            return False
        check_files(folder, ModelManifest.from_json(text))
    except (InvalidVersion, OSError):
        return False
    return True
