"""The file of API keys: replaced as a whole, and read again when it has changed.

    g2d keys create | revoke --> lock --> read, change, write a new file, rename --> KeyFile.refresh

Readers see the old file or the new one, never a part. Nothing in it lets anybody in: it holds
digests of secrets.
"""

import fcntl
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from service.auth.keys import ApiKey, KeySet
from service.errors import InvalidKeyFile
from service.observability.observer import NULL_OBSERVER, Observer

logger = logging.getLogger("g2d.access")

_MAX_BYTES = 16 * 1024 * 1024
_Stamp = tuple[int, int, int]


class KeyFile:
    """The keys in a file, which other processes may replace at any time.

    Args:
        path: path of the file.
        observer: receives the keys that were created, changed or revoked meanwhile.
    """

    def __init__(self, path: Path, observer: Observer = NULL_OBSERVER) -> None:
        """Read the file.

        Raises:
            InvalidKeyFile: the file cannot be read or is no file of keys.
        """
        self._path = path
        self._observer = observer
        self._stamp = _stamp(path)  # before the content, so that no change is missed
        self.keys: Mapping[str, ApiKey] = _by_id(read(path))

    def refresh(self) -> None:
        """Read the file again if it was replaced; a broken file leaves the keys as they are."""
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            keys = _by_id(read(self._path))
        except InvalidKeyFile as error:
            logger.error("the previous API keys stay valid: %s", error)
            return
        before, self.keys = self.keys, keys
        logger.info("the file of API keys was read again")
        for key, change in _changes(before, keys):
            self._observer.api_key(change, key.id, key.owner)


def read(path: Path) -> KeySet:
    """Return the keys in a file.

    Raises:
        InvalidKeyFile: the file cannot be read or is no file of keys.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InvalidKeyFile(f"{path}: {error.strerror}; `g2d keys create` makes it") from error
    if len(data) > _MAX_BYTES:
        raise InvalidKeyFile(f"{path}: larger than {_MAX_BYTES} bytes")
    try:
        return KeySet.model_validate_json(data)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, fault["loc"])) or "content"
        raise InvalidKeyFile(f"{path}: {place}: {fault['msg']}") from None


def change(path: Path, edit: Callable[[KeySet], KeySet]) -> None:
    """Change the keys in a file, one process at a time; a missing file has no keys.

    Raises:
        InvalidKeyFile: the file cannot be read or is no file of keys.
        OSError: the folder cannot be written.
    """
    with _locked(path):
        before = read(path) if path.exists() else KeySet()
        _replace(path, edit(before).model_dump_json(indent=1).encode() + b"\n")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of the folder that contains a file."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _replace(path: Path, data: bytes) -> None:
    """Replace a file durably. A new one is for its owner alone; a former one keeps its readers."""
    descriptor, name = tempfile.mkstemp(prefix=".keys.", dir=path.parent)  # with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if path.exists():
                _keep_readers(file.fileno(), path)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _keep_readers(descriptor: int, path: Path) -> None:
    """Give a file the owner of the one that it replaces, and its bits for reading."""
    before = path.stat()
    if os.geteuid() == 0:
        os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, 0o600 | (before.st_mode & 0o044))


def _stamp(path: Path) -> _Stamp | None:
    """Return what changes with a file, or None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _changes(
    before: Mapping[str, ApiKey], after: Mapping[str, ApiKey]
) -> Iterator[tuple[ApiKey, str]]:
    """Yield the keys that differ: `revoked` ones, then those that were `created` or `changed`."""
    for key in before.values():
        if key.id not in after:
            yield key, "revoked"
    for key in after.values():
        if key != before.get(key.id):
            yield key, "changed" if key.id in before else "created"


def _by_id(keys: KeySet) -> dict[str, ApiKey]:
    return {key.id: key for key in keys.keys}
