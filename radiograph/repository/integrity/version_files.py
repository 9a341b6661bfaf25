"""Safe access to the files of one model version: listing, reading, digests and copies.

No function follows a symbolic link inside a version or waits on a named pipe. Files that are
copied or written are on the disk, not in a buffer, when the call returns.
"""

import hashlib
import io
import os
import secrets
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from radiograph.errors import InvalidVersion
from radiograph.manifest import MANIFEST_NAME, ModelManifest
from radiograph.repository.integrity.onnx_external_data import refers_to_other_files

MAX_JSON_BYTES = 16 * 2**20
"""Size limit of a manifest or an aliases file; a larger one is refused."""


@dataclass(frozen=True)
class VerifiedVersion:
    """A version whose files are those of its manifest, and whose manifest is the pinned one.

    Attributes:
        folder: folder of the version.
        manifest: its manifest.
        digest: SHA-256 of the manifest.
        pinned: whether the digest is in the index; an older version may have no pin.
    """

    folder: Path
    manifest: ModelManifest
    digest: str
    pinned: bool


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file for reading.

    Raises:
        OSError: the file does not exist, is not readable, or is a symbolic link.
        InvalidVersion: the path is a folder, a pipe, a socket or a device.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidVersion(f"{path.name} is not a regular file")
    return os.fdopen(descriptor, "rb")


def read_json(path: Path) -> bytes:
    """Read a manifest or an aliases file as a whole.

    Raises:
        OSError: as in `open_regular`.
        InvalidVersion: as in `open_regular`, or the file is larger than `MAX_JSON_BYTES`.
    """
    with open_regular(path) as file:
        data = file.read(MAX_JSON_BYTES + 1)
    if len(data) > MAX_JSON_BYTES:
        raise InvalidVersion(f"{path.name} is larger than {MAX_JSON_BYTES} bytes")
    return data


def list_files(folder: Path) -> dict[str, os.stat_result]:
    """List every file below a folder, except its `manifest.json`.

    Returns:
        The status of each file by its relative path with forward slashes.

    Raises:
        InvalidVersion: an entry is neither a regular file nor a folder.
        OSError: a folder cannot be read.
    """
    found: dict[str, os.stat_result] = {}
    pending = [folder]
    while pending:
        for path in sorted(pending.pop().iterdir()):
            relative, status = path.relative_to(folder).as_posix(), path.lstat()
            if stat.S_ISDIR(status.st_mode):
                pending.append(path)
            elif not stat.S_ISREG(status.st_mode):
                raise InvalidVersion(f"{relative} is a link or a special file")
            elif relative != MANIFEST_NAME:
                found[relative] = status
    return found


def digest_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, as in the `files` of a manifest.

    Raises:
        InvalidVersion: an entry is neither a regular file nor a folder.
        OSError: a file or folder cannot be read.
    """
    return {path: digest_file(folder / path) for path in sorted(list_files(folder))}


def digest_file(path: Path) -> str:
    """Return the SHA-256 of one regular file, 64 hexadecimal digits."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_files(folder: Path, manifest: ModelManifest) -> None:
    """Check that a folder holds exactly the files of its manifest, self-contained.

    A hard link is refused, because the version could be changed through the other name of the
    file.

    Raises:
        InvalidVersion: a check failed; the message names the first one.
    """
    try:
        found = list_files(folder)
        if missing := sorted(set(manifest.files) - set(found)):
            raise InvalidVersion(f"files are missing: {', '.join(missing)}")
        if extra := sorted(set(found) - set(manifest.files)):
            raise InvalidVersion(f"files that the manifest does not name: {', '.join(extra)}")
        for path, status in found.items():
            if status.st_nlink > 1:
                raise InvalidVersion(f"{path} is a hard link")
            if digest_file(folder / path) != manifest.files[path]:
                raise InvalidVersion(f"{path} does not have the digest that the manifest gives")
        for path in sorted(_graphs(manifest)):
            _check_graph(folder / path, path)
    except OSError as error:
        raise InvalidVersion(f"cannot read the files: {error.strerror}") from error


def _graphs(manifest: ModelManifest) -> set[str]:
    """Return the files that a runtime may load as a graph, whatever their suffix."""
    named = {manifest.trunk.file, *(head.file for head in manifest.heads.values())}
    if manifest.text is not None:
        named.add(manifest.text.file)
    named |= {variant.trunk for variant in manifest.variants.values()}
    return named | {path for path in manifest.files if path.lower().endswith(".onnx")}


def _check_graph(path: Path, name: str) -> None:
    """Refuse a file that is not an ONNX graph or that keeps values in another file."""
    with open_regular(path) as file:
        graph = file.read()
    try:
        has_external_data = refers_to_other_files(graph)
    except ValueError as error:
        raise InvalidVersion(f"{name} is not an ONNX graph: {error}") from error
    if has_external_data:
        raise InvalidVersion(f"{name} keeps values in another file (external data)")


def copy_files(source: Path, target: Path) -> None:
    """Copy every file below `source` durably into the empty folder `target`.

    Raises:
        InvalidVersion: an entry is neither a regular file nor a folder.
        OSError: the disk is full, or a file cannot be read or written.
    """
    for path in list_files(source):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        with open_regular(source / path) as reader, (target / path).open("xb") as writer:
            shutil.copyfileobj(reader, writer, 2**20)
            writer.flush()
            os.fsync(writer.fileno())


def write_file(path: Path, data: bytes) -> None:
    """Write a new file durably.

    Raises:
        OSError: the file exists already, or the disk is full.
    """
    with path.open("xb") as writer:
        writer.write(data)
        writer.flush()
        os.fsync(writer.fileno())


def replace_file(path: Path, data: bytes) -> None:
    """Write a file in place of what is there, atomically and durably.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(8)}")
    try:
        write_file(temporary, data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folders(folder: Path) -> None:
    """Make the entries of a folder, and of every folder below it, durable."""
    for path, _, _ in os.walk(folder):
        sync_folder(Path(path))


def sync_folder(folder: Path) -> None:
    """Make the entries of one folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def entries(folder: Path) -> list[str]:
    """Return the names in a folder, sorted; none if it is not a folder or cannot be read."""
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names, not paths
    except OSError:
        return []


def is_version(folder: Path) -> bool:
    """Return whether a path is a folder with a manifest, and not a symbolic link."""
    try:
        return not folder.is_symlink() and (folder / MANIFEST_NAME).is_file()
    except OSError:
        return False
