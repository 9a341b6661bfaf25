"""Opening of a repository: a folder, or a location in a store with its local mirror."""

import hashlib
import os
from pathlib import Path

from radiograph.repository.integrity.signatures import SignaturePolicy
from radiograph.repository.repository import Repository
from radiograph.repository.store.object_store import ObjectStore, is_location
from radiograph.repository.store.stored_repository import StoredRepository


def open_repository(models_dir: Path | str, policy: SignaturePolicy | None = None) -> Repository:
    """Return the repository of a models directory, without reading anything of it.

    Args:
        models_dir: a folder, or `s3://BUCKET/PREFIX`.
        policy: the signatures that versions must have; None looks at none.

    Raises:
        StoreUnavailable: the location is not valid, or the extra `store` is missing.
    """
    if not is_location(models_dir):
        return Repository(Path(models_dir), policy)
    store = ObjectStore(models_dir)
    return StoredRepository(store, _mirror_folder(store.url), policy)


def open_current(models_dir: Path | str, policy: SignaturePolicy | None = None) -> Repository:
    """Return the repository of a models directory with all that a store has now.

    Raises:
        StoreUnavailable: as `open_repository`, or the store does not answer.
        InvalidVersion: something in the store is damaged.
    """
    repository = open_repository(models_dir, policy)
    repository.refresh()
    return repository


def local_folder(models_dir: Path | str) -> Path:
    """Return the folder in which the versions of a models directory are found on this machine."""
    if not is_location(models_dir):
        return Path(models_dir).resolve()
    return _mirror_folder(ObjectStore(models_dir).url)


def _mirror_folder(url: str) -> Path:
    """Return the folder of the mirror (XDG Base Directory)."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(given) if given else Path.home() / ".cache"
    return cache / "g2d" / "models" / hashlib.sha256(url.encode()).hexdigest()[:16]
