"""Atomic publication: a folder of files becomes the next version, completely or not at all.

    copy the files to .publish-XXXX, fsync -> mkdir 3 (claims the number)
      -> build(3), check, write manifest.json, fsync -> pin the digest in index.json
      -> rename .publish-XXXX onto the empty 3

An empty numbered folder claims its number: `mkdir` succeeds for one publisher only, also on
network file systems. A version becomes visible with its manifest, which arrives with the rename.
A publisher that is killed leaves a hidden folder and perhaps an empty claim, which the next
publisher removes, and perhaps a pin, whose number is not given again.
"""

import contextlib
import fcntl
import hashlib
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from radiograph.errors import InvalidVersion
from radiograph.manifest import MANIFEST_NAME, ModelManifest
from radiograph.repository.integrity.index import IndexFile
from radiograph.repository.integrity.version_files import (
    check_files,
    copy_files,
    entries,
    sync_folder,
    sync_folders,
    write_file,
)

Build = Callable[[int], ModelManifest]
"""Returns the manifest for a version number."""

_MAX_NUMBER = 10**9 - 1


def write_version(model_folder: Path, stage: Path, build: Build, used: set[int]) -> int:
    """Write one version.

    Args:
        model_folder: folder of the model; created if it does not exist.
        stage: folder of all files except `manifest.json`; copied.
        build: returns the manifest for a number.
        used: numbers that must not be given, besides those in the folder and the index.

    Returns:
        The number. The new folder entry is durable only after `sync_folder(model_folder)`.

    Raises:
        InvalidVersion: a file or the manifest fails verification.
        OSError: the disk is full, or a file cannot be read or written.
    """
    if (stage / MANIFEST_NAME).exists():
        raise InvalidVersion(f"the files already include a {MANIFEST_NAME}")
    with _publishing(model_folder), _temporary_folder(model_folder) as temporary:
        copy_files(stage, temporary)
        index = IndexFile(model_folder)
        with _claimed_number(model_folder, used | set(index.read().digests)) as number:
            digest = _complete(temporary, model_folder.name, number, build(number))
            index.pin(number, digest)
            temporary.rename(model_folder / str(number))
    return number


@contextlib.contextmanager
def _temporary_folder(model_folder: Path) -> Iterator[Path]:
    """Create a hidden folder on the same file system; remove it unless it was renamed."""
    temporary = model_folder / f".publish-{secrets.token_hex(8)}"
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _complete(folder: Path, name: str, number: int, manifest: ModelManifest) -> str:
    """Check the files against the manifest, write it beside them, and return its digest.

    The text is parsed again, so that a value that JSON cannot hold, such as NaN, is refused.
    """
    if (manifest.name, manifest.version) != (name, number):
        raise InvalidVersion(f"the manifest is of {manifest.name}/{manifest.version}")
    text = manifest.to_json()
    if ModelManifest.from_json(text) != manifest:
        raise InvalidVersion("the manifest holds a value that JSON cannot represent")
    check_files(folder, manifest)
    write_file(folder / MANIFEST_NAME, text.encode())
    sync_folders(folder)
    return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def _publishing(model_folder: Path) -> Iterator[None]:
    """Hold the shared lock of publishers, after removing leftovers of killed publishers.

    All publishers hold the lock together. A publisher that gets it exclusively is the only one,
    so every temporary folder and every empty claim is a leftover.
    """
    model_folder.mkdir(parents=True, exist_ok=True)
    sync_folder(model_folder.parent)
    with (model_folder / ".publish.lock").open("w") as lock:
        if _try_exclusive(lock):
            _remove_leftovers(model_folder)
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def _try_exclusive(lock: TextIO) -> bool:
    """Try to take the lock exclusively without waiting; return whether it succeeded."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_leftovers(model_folder: Path) -> None:
    """Remove temporary folders and empty claims."""
    for temporary in model_folder.glob(".publish-*"):
        shutil.rmtree(temporary, ignore_errors=True)
    for entry in entries(model_folder):
        if entry.isdecimal():
            with contextlib.suppress(OSError):  # rmdir fails unless the folder is empty
                (model_folder / entry).rmdir()


@contextlib.contextmanager
def _claimed_number(model_folder: Path, used: set[int]) -> Iterator[int]:
    """Claim the next number by an empty folder; give it back if the block raises."""
    number = _claim(model_folder, used)
    try:
        yield number
    except BaseException:
        with contextlib.suppress(OSError):
            (model_folder / str(number)).rmdir()
        raise


def _claim(model_folder: Path, used: set[int]) -> int:
    """Create the folder of the lowest number above all that are taken or used."""
    number = 0
    while True:
        taken = {
            int(entry) for entry in entries(model_folder) if re.fullmatch(r"[0-9]{1,9}", entry)
        }
        number = max(taken | used | {number}) + 1
        if number > _MAX_NUMBER:
            raise InvalidVersion("no version number is left")
        with contextlib.suppress(FileExistsError):  # another publisher was faster
            (model_folder / str(number)).mkdir()
            return number
