"""Spool: bodies of jobs as files, durable before a job is accepted, removed once it is finished.

    incoming/<random>  --fsync, rename, fsync--> <job id>.body  --last item answered--> removed

No file name comes from a client. Files that a crash left behind are removed once they are old.
"""

import errno
import os
import secrets
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from radiograph.errors import InputTooLarge, MalformedInput
from service.errors import JobsUnavailable, StorageFull
from service.jobs.archives.inflate import inflate
from service.jobs.job import Piece

_SUFFIX = ".body"
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Incoming:
    """A body that is being received. Its creator must discard it, whether it was kept or not."""

    path: Path
    file: IO[bytes]

    def write(self, data: bytes | bytearray) -> None:
        """Append bytes to the body.

        Raises:
            StorageFull: the disk is full.
        """
        with disk_full_as_storage_full():
            self.file.write(data)

    def discard(self) -> None:
        """Close the file, and remove it unless it was kept."""
        with suppress(OSError):  # a full disk: the buffered bytes are of no use
            self.file.close()
        self.path.unlink(missing_ok=True)


class Spool:
    """The folder of the bodies. Calls block.

    Args:
        folder: folder of the bodies; created for this user alone if it is missing.
        min_free_bytes: space on its disk that no body may take.
    """

    def __init__(self, folder: Path, min_free_bytes: int) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._min_free = min_free_bytes

    def prepare(self) -> None:
        """Create the folder.

        Raises:
            JobsUnavailable: the folder cannot be written.
        """
        folder = self._folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._incoming.mkdir(mode=0o700, exist_ok=True)
            probe = self._incoming / f"probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise JobsUnavailable(f"the job folder cannot be written: {folder}") from error

    def check_room(self, size: int) -> None:
        """Refuse a body that does not fit before it arrives.

        Args:
            size: size of the body in bytes.

        Raises:
            StorageFull: the disk has too little free space.
        """
        if shutil.disk_usage(self._folder).free - size < self._min_free:
            raise StorageFull("not enough disk space for this job; retry later")

    def begin(self) -> Incoming:
        """Create a file for a new body.

        Raises:
            StorageFull: the disk is full.
        """
        path = self._incoming / secrets.token_hex(16)
        with disk_full_as_storage_full():
            return Incoming(path, path.open("xb+"))

    def keep(self, incoming: Incoming, job: str) -> None:
        """Make a body durable under the name of its job.

        Raises:
            StorageFull: the disk is full.
        """
        with disk_full_as_storage_full():
            incoming.file.flush()
            os.fsync(incoming.file.fileno())
            incoming.path.rename(self._path(job))
            descriptor = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def read(self, job: str, piece: Piece, max_bytes: int) -> bytes:
        """Return the bytes of one radiograph, inflated.

        Raises:
            JobsUnavailable: the body is not in this folder; another process may have it.
            InputTooLarge: the radiograph has more than `max_bytes` bytes.
            MalformedInput: the bytes cannot be inflated, or their size or CRC-32 is wrong.
        """
        if piece.size > max_bytes:
            raise InputTooLarge(f"a file may have at most {max_bytes} bytes")
        try:
            with self._path(job).open("rb") as file:
                file.seek(piece.start)
                if piece.deflated:
                    data = inflate(file, piece.stored, piece.size + 1)
                else:
                    data = file.read(piece.stored)
        except FileNotFoundError as error:
            raise JobsUnavailable("the body of the job is missing") from error
        if len(data) != piece.size or (piece.crc is not None and zlib.crc32(data) != piece.crc):
            raise MalformedInput("a file in the zip file is damaged")
        return data

    def remove(self, job: str) -> None:
        """Remove the body of a job, if it is there."""
        self._path(job).unlink(missing_ok=True)

    def sweep(self, older_than_s: float, is_open: Callable[[str], bool]) -> None:
        """Remove old bodies that crashes left behind.

        Args:
            older_than_s: age in seconds from which a body may be removed.
            is_open: returns whether a job still needs its body.
        """
        before = time.time() - older_than_s
        for path in (*self._incoming.iterdir(), *self._folder.glob(f"*{_SUFFIX}")):
            orphaned = path.parent == self._incoming or not is_open(path.name.removesuffix(_SUFFIX))
            if orphaned and path.stat().st_mtime < before:
                path.unlink(missing_ok=True)

    def _path(self, job: str) -> Path:
        return self._folder / f"{job}{_SUFFIX}"


@contextmanager
def disk_full_as_storage_full() -> Iterator[None]:
    """Turn the errors of a full disk into `StorageFull`.

    Raises:
        StorageFull: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise StorageFull("not enough disk space for this job; retry later") from error
        raise
