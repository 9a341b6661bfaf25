"""Publishing: a folder of files becomes the next version of a model, wholly or not at all.

    copy the files to .publish-XXXX, fsync -> mkdir 3 (claims the number)
      -> build(3), check, manifest.json, fsync -> rename .publish-XXXX onto the empty 3

An empty numbered folder is a claim: `mkdir` succeeds for one publisher only, on network file
systems too. A version becomes visible with its manifest, and that arrives with the rename.
A publisher that is killed leaves a hidden folder and perhaps an empty claim; the next one
clears them away.
"""

import contextlib
import fcntl
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from radiograph.errors import InvalidVersion
from radiograph.manifest import MANIFEST_NAME, ModelManifest
from radiograph.repository.version_files import (
    check_files,
    copy_files,
    entries,
    sync_folder,
    sync_folders,
    write_file,
)

Build = Callable[[int], ModelManifest]

_MAX_NUMBER = 10**9 - 1


def write_version(home: Path, stage: Path, build: Build, used: set[int]) -> int:
    """Write one version.

    Args:
        home: the model's folder, made when it is not there.
        stage: all files but `manifest.json`; copied.
        build: number -> manifest.
        used: numbers not to be given, besides those in the folder.

    Returns:
        The number. The new name in `home` is not on the disk before `sync_folder(home)`.

    Raises:
        InvalidVersion: a file or the manifest does not hold.
        OSError: the disk is full, or something cannot be read or written.
    """
    if (stage / MANIFEST_NAME).exists():
        raise InvalidVersion(f"the files hold a {MANIFEST_NAME} already")
    with _publishing(home), _temporary(home) as temporary:
        copy_files(stage, temporary)
        with _claimed(home, used) as number:
            _complete(temporary, home.name, number, build(number))
            temporary.rename(home / str(number))
    return number


@contextlib.contextmanager
def _temporary(home: Path) -> Iterator[Path]:
    """A hidden folder on the same file system; removed unless it was renamed."""
    temporary = home / f".publish-{secrets.token_hex(8)}"
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _complete(folder: Path, name: str, number: int, manifest: ModelManifest) -> None:
    """Check the files against the manifest and write it beside them.

    The text is read back: what JSON cannot carry, such as NaN, must not be published.
    """
    if (manifest.name, manifest.version) != (name, number):
        raise InvalidVersion(f"the manifest is of {manifest.name}/{manifest.version}")
    text = manifest.to_json()
    if ModelManifest.from_json(text) != manifest:
        raise InvalidVersion("the manifest changes when it is written and read")
    check_files(folder, manifest)
    write_file(folder / MANIFEST_NAME, text.encode())
    sync_folders(folder)


@contextlib.contextmanager
def _publishing(home: Path) -> Iterator[None]:
    """A model's folder while publishing to it, cleared of what killed publishers left.

    Publishers share the lock. Who gets it alone knows that nobody else is publishing, so
    every temporary folder and every empty claim belongs to nobody.
    """
    home.mkdir(parents=True, exist_ok=True)
    sync_folder(home.parent)
    with (home / ".publish.lock").open("w") as lock:
        if _locked_alone(lock):
            _clear(home)
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def _locked_alone(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _clear(home: Path) -> None:
    for left in home.glob(".publish-*"):
        shutil.rmtree(left, ignore_errors=True)
    for entry in entries(home):
        if entry.isdecimal():
            with contextlib.suppress(OSError):  # only an empty folder can be removed so
                (home / entry).rmdir()


@contextlib.contextmanager
def _claimed(home: Path, used: set[int]) -> Iterator[int]:
    """The next number, held by an empty folder; given back when what follows fails."""
    number = _claim(home, used)
    try:
        yield number
    except BaseException:
        with contextlib.suppress(OSError):
            (home / str(number)).rmdir()
        raise


def _claim(home: Path, used: set[int]) -> int:
    number = 0
    while True:
        taken = {int(entry) for entry in entries(home) if re.fullmatch(r"[0-9]{1,9}", entry)}
        number = max(taken | used | {number}) + 1
        if number > _MAX_NUMBER:
            raise InvalidVersion("no version number is left")
        with contextlib.suppress(FileExistsError):  # another publisher was faster
            (home / str(number)).mkdir()
            return number
