"""Files and folders that hold data of patients: open to the user of the service alone.

What exists already with wider permissions is tightened. What belongs to another user is not
changed, as others may rely on it, but refused.
"""

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

FOLDER_MODE = 0o700
FILE_MODE = 0o600
_OTHERS = 0o077


def make_private_folder(folder: Path) -> None:
    """Create a folder with mode 0700, or tighten the one that exists.

    Raises:
        PermissionError: others can enter the folder, and it is not ours to change.
        OSError: the folder cannot be created.
    """
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    status = folder.stat()
    if not status.st_mode & _OTHERS:
        return
    if status.st_uid != os.geteuid() or status.st_mode & stat.S_ISVTX:
        raise PermissionError(
            f"other users can enter {folder}, which is not a folder of this user alone; "
            "name another folder, or change its owner or its mode to 0700"
        )
    folder.chmod(FOLDER_MODE)


def make_private_files(paths: Iterable[Path]) -> None:
    """Tighten the mode of files to 0600; a file that does not exist is skipped.

    Raises:
        OSError: a file is open to others and belongs to another user.
    """
    for path in paths:
        with suppress(FileNotFoundError):
            if path.stat().st_mode & _OTHERS:
                path.chmod(FILE_MODE)


def open_private(path: str, flags: int) -> int:
    """Open a file, as `opener` of `open` does; a new one gets the mode 0600 whatever the umask."""
    return os.open(path, flags, FILE_MODE)
