"""Holds: a version in a mirror is not removed while a process has it open.

    hold:   shared lock on the manifest, until it is closed
    remove: exclusive lock on the manifest, or not at all -> .gone-XXXX -> deleted

The system ends the locks of a process that dies, so that nothing stays held by mistake.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from radiograph.manifest import MANIFEST_NAME
from radiograph.repository.integrity.version_files import open_regular, sync_folder

GONE = ".gone-"
"""How the name of a folder begins that is being deleted."""


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep the folder of a version from being removed by `remove`, until the context ends.

    Raises:
        OSError: the version is not there, or was removed at the same time.
        InvalidVersion: its manifest is not a regular file.
    """
    path = folder / MANIFEST_NAME
    with open_regular(path) as manifest:
        fcntl.flock(manifest, fcntl.LOCK_SH)
        if not os.path.samestat(os.fstat(manifest.fileno()), path.stat()):
            raise FileNotFoundError(path)
        yield


def remove(folder: Path) -> bool:
    """Delete the folder of a version, unless a process holds it.

    Returns:
        False if it is held and stays as it is.

    Raises:
        OSError: it cannot be deleted; it has vanished from its place or is as it was.
        InvalidVersion: its manifest is not a regular file.
    """
    with open_regular(folder / MANIFEST_NAME) as manifest:
        try:
            fcntl.flock(manifest, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        gone = folder.with_name(f"{GONE}{secrets.token_hex(8)}")
        folder.rename(gone)
        sync_folder(folder.parent)
        shutil.rmtree(gone)
    return True
