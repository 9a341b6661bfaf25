"""Spool: bodies of jobs in files, on disk before a job is accepted, gone when it is done.

    incoming/<random>  --fsync, rename, fsync--> <job id>.body  --last item answered--> removed

All names are of our making. What a crash leaves behind is swept when it is old.
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
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Incoming:
    """A body that arrives. Whoever began it discards it, whether it was kept or not."""

    path: Path
    file: IO[bytes]

    def write(self, data: bytes | bytearray) -> None:
        """Append.

        Raises:
            StorageFull: the disk is full.
        """
        with full_disk_is_said():
            self.file.write(data)

    def discard(self) -> None:
        """Close the file, and remove it unless it was kept."""
        with suppress(OSError):  # a full disk: what was still to be written is of no use
            self.file.close()
        self.path.unlink(missing_ok=True)


class Spool:
    """The folder that bodies wait in. Calls block.

    Args:
        folder: made when it is not there, for this user alone.
        min_free_bytes: room on its disk that stays free.
    """

    def __init__(self, folder: Path, min_free_bytes: int) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._min_free = min_free_bytes

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            JobsUnavailable: it cannot be written.
        """
        folder = self._folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._incoming.mkdir(mode=0o700, exist_ok=True)
            probe = self._incoming / f"probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise JobsUnavailable(f"the folder of jobs cannot be written: {folder}") from error

    def check_room(self, size: int) -> None:
        """Refuse early what will not fit.

        Raises:
            StorageFull: the disk has not that much room.
        """
        if shutil.disk_usage(self._folder).free - size < self._min_free:
            raise StorageFull("the disk has no room for this job; send it later")

    def begin(self) -> "Incoming":
        """A new file to write a body to.

        Raises:
            StorageFull: the disk is full.
        """
        path = self._incoming / secrets.token_hex(16)
        with full_disk_is_said():
            return Incoming(path, path.open("xb+"))

    def keep(self, incoming: "Incoming", job: str) -> None:
        """Make a body durable under the name of its job.

        Raises:
            StorageFull: the disk is full.
        """
        with full_disk_is_said():
            incoming.file.flush()
            os.fsync(incoming.file.fileno())
            incoming.path.rename(self._path(job))
            descriptor = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def read(self, job: str, piece: Piece, max_bytes: int) -> bytes:
        """The bytes of one radiograph.

        Raises:
            JobsUnavailable: the body is not in this folder; another process may have it.
            InputTooLarge: more bytes than one radiograph may have.
            MalformedInput: they cannot be inflated, or are not those that were packed.
        """
        if piece.size > max_bytes:
            raise InputTooLarge(f"a file has at most {max_bytes} bytes")
        try:
            with self._path(job).open("rb") as file:
                file.seek(piece.start)
                if piece.deflated:
                    data = inflate(file, piece.stored, piece.size + 1)
                else:
                    data = file.read(piece.stored)
        except FileNotFoundError as error:
            raise JobsUnavailable("the body of the job is not there") from error
        if len(data) != piece.size or (piece.crc is not None and zlib.crc32(data) != piece.crc):
            raise MalformedInput("a file of the zip file is damaged")
        return data

    def remove(self, job: str) -> None:
        """Forget the body of a job."""
        self._path(job).unlink(missing_ok=True)

    def sweep(self, older_than_s: float, wanted: Callable[[str], bool]) -> None:
        """Remove what crashes left behind: old bodies that no open job waits for."""
        before = time.time() - older_than_s
        for path in (*self._incoming.iterdir(), *self._folder.glob(f"*{_SUFFIX}")):
            lost = path.parent == self._incoming or not wanted(path.name.removesuffix(_SUFFIX))
            if lost and path.stat().st_mtime < before:
                path.unlink(missing_ok=True)

    def _path(self, job: str) -> Path:
        return self._folder / f"{job}{_SUFFIX}"


@contextmanager
def full_disk_is_said() -> Iterator[None]:
    """Turn the operating system's word for a full disk into ours.

    Raises:
        StorageFull: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull("the disk has no room for this job; send it later") from error
        raise
