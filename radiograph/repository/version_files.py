"""The files of one model version: listed, read, digested and copied without being tricked.

Nothing here follows a symbolic link inside of a version or waits on a named pipe, and what
is copied is on the disk, not in a buffer, when the call returns.
"""

import hashlib
import io
import os
import shutil
import stat
from pathlib import Path

from radiograph.errors import InvalidVersion
from radiograph.manifest import MANIFEST_NAME, ModelManifest
from radiograph.repository.onnx_external_data import refers_to_other_files

MAX_JSON_BYTES = 16 * 2**20
"""No manifest or aliases file is larger; a larger one is not read."""


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file for reading if it is a regular one and no link.

    Raises:
        OSError: it is not there, not readable, or a symbolic link.
        InvalidVersion: it is a folder, a pipe, a socket or a device.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidVersion(f"{path.name} is not a regular file")
    return os.fdopen(descriptor, "rb")


def read_json(path: Path) -> bytes:
    """A small file as a whole.

    Raises:
        OSError: as `open_regular`.
        InvalidVersion: as `open_regular`, or larger than `MAX_JSON_BYTES`.
    """
    with open_regular(path) as file:
        data = file.read(MAX_JSON_BYTES + 1)
    if len(data) > MAX_JSON_BYTES:
        raise InvalidVersion(f"{path.name} is larger than {MAX_JSON_BYTES} bytes")
    return data


def list_files(folder: Path) -> dict[str, os.stat_result]:
    """Every file below a folder but `manifest.json`, by its path with forward slashes.

    Raises:
        InvalidVersion: something below is neither a regular file nor a folder.
        OSError: a folder cannot be read.
    """
    found: dict[str, os.stat_result] = {}
    waiting = [folder]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            relative, status = path.relative_to(folder).as_posix(), path.lstat()
            if stat.S_ISDIR(status.st_mode):
                waiting.append(path)
            elif not stat.S_ISREG(status.st_mode):
                raise InvalidVersion(f"{relative} is a link or a special file")
            elif relative != MANIFEST_NAME:
                found[relative] = status
    return found


def digest_files(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder but `manifest.json`: a manifest's `files`.

    Raises:
        InvalidVersion: something below is neither a regular file nor a folder.
        OSError: something cannot be read.
    """
    return {path: digest_file(folder / path) for path in sorted(list_files(folder))}


def digest_file(path: Path) -> str:
    """SHA-256 of one regular file, 64 hexadecimal digits."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_files(folder: Path, manifest: ModelManifest) -> None:
    """Hold a folder against its manifest: exactly those files, self-contained.

    A file with a second name elsewhere (a hard link) is refused: whoever may write that name
    may change the version without touching its folder.

    Raises:
        InvalidVersion: the first thing that does not hold.
    """
    try:
        found = list_files(folder)
        if missing := sorted(set(manifest.files) - set(found)):
            raise InvalidVersion(f"files are missing: {', '.join(missing)}")
        if extra := sorted(set(found) - set(manifest.files)):
            raise InvalidVersion(f"files that the manifest does not name: {', '.join(extra)}")
        for path, status in found.items():
            if status.st_nlink > 1:
                raise InvalidVersion(f"{path} has a second name (a hard link)")
            if digest_file(folder / path) != manifest.files[path]:
                raise InvalidVersion(f"{path} does not have the digest that the manifest gives")
        for path in sorted(_graphs(manifest)):
            _check_graph(folder / path, path)
    except OSError as error:
        raise InvalidVersion(f"cannot read the files: {error.strerror}") from error


def _graphs(manifest: ModelManifest) -> set[str]:
    """What a runtime may load as a graph, whatever its name ends with."""
    named = {manifest.trunk.file, *(head.file for head in manifest.heads.values())}
    if manifest.text is not None:
        named.add(manifest.text.file)
    return named | {path for path in manifest.files if path.lower().endswith(".onnx")}


def _check_graph(path: Path, name: str) -> None:
    with open_regular(path) as file:
        graph = file.read()
    try:
        outside = refers_to_other_files(graph)
    except ValueError as error:
        raise InvalidVersion(f"{name} is not an ONNX graph: {error}") from error
    if outside:
        raise InvalidVersion(f"{name} keeps values in another file (external data)")


def copy_files(source: Path, target: Path) -> None:
    """Copy every file below `source` into the empty folder `target`, down to the disk.

    Raises:
        InvalidVersion: something below is neither a regular file nor a folder.
        OSError: the disk is full, or something cannot be read or written.
    """
    for path in list_files(source):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        with open_regular(source / path) as reader, (target / path).open("xb") as writer:
            shutil.copyfileobj(reader, writer, 2**20)
            writer.flush()
            os.fsync(writer.fileno())


def write_file(path: Path, data: bytes) -> None:
    """Write a new file down to the disk.

    Raises:
        OSError: it is there already, or the disk is full.
    """
    with path.open("xb") as writer:
        writer.write(data)
        writer.flush()
        os.fsync(writer.fileno())


def sync_folders(folder: Path) -> None:
    """Bring the names in a folder, and in every folder below it, to the disk."""
    for path, _, _ in os.walk(folder):
        sync_folder(Path(path))


def sync_folder(folder: Path) -> None:
    """Bring the names in one folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def entries(folder: Path) -> list[str]:
    """Names in a folder, sorted; none when it is no folder or cannot be read."""
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names, not paths
    except OSError:
        return []


def is_version(folder: Path) -> bool:
    """A real folder with a manifest in it."""
    try:
        return not folder.is_symlink() and (folder / MANIFEST_NAME).is_file()
    except OSError:
        return False
