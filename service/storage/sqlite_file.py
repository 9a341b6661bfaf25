"""File of an SQLite database: private to its user, and missed when it is removed or replaced.

    open: folder made, file made (0600), device and inode remembered
    is_current: the path still names that file

A connection goes on writing to its file after the file was removed or replaced. What it commits
then is lost, so a caller checks before and after each transaction.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.storage.private_files import FILE_MODE, make_private_files

_COMPANIONS = ("-wal", "-shm")


class SqliteFile:
    """The file at a path, and which file that was when it was opened.

    Args:
        path: path of the database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None

    def open(self) -> None:
        """Create the file if it is missing, let nobody else read it, and remember which one it is.

        Raises:
            OSError: the file cannot be created, or is open to others and not ours.
        """
        folder = self._path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        companions = [self._path.with_name(self._path.name + end) for end in _COMPANIONS]
        with _locked(folder):  # another process may be about to create it
            if not self._path.exists():
                # They belong to a file that is gone; new connections must not read them.
                for companion in companions:
                    companion.unlink(missing_ok=True)
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))
            make_private_files([self._path, *companions])
            self._identity = self._found()

    def is_current(self) -> bool:
        """Return whether the path still names the file that was opened."""
        return self._identity is not None and self._identity == self._found()

    def _found(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes that open a database in it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
