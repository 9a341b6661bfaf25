"""Spool: bodies of jobs as files, durable before a job is accepted, removed once it is finished.

    incoming/<random>  --fsync, rename, fsync--> <job id>.body  --last item answered--> removed

No file name comes from a client, and no other user can read the files. A folder that is removed
while the service runs is made again. Files that a crash left behind are removed once they are old.
"""

import os
import secrets
import shutil
import time
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from radiograph.errors import InputTooLarge, MalformedInput
from service.errors import JobsUnavailable, StorageFull
from service.host import is_disk_full
from service.jobs.archives.inflate import inflate
from service.jobs.job import Piece
from service.storage.private_files import make_private_files, make_private_folder, open_private

_SUFFIX = ".body"


@dataclass(frozen=True)
class Incoming:
    """A body that is being received. Its creator must discard it, whether it was kept or not."""

    path: Path
    file: IO[bytes]

    def write(self, data: bytes | bytearray) -> None:
        """Append bytes to the body.

        Raises:
            StorageFull: the disk is full.
            JobsUnavailable: the file cannot be written.
        """
        with storage_errors():
            self.file.write(data)
            self.file.flush()  # a full disk must be noticed here

    def discard(self) -> None:
        """Close the file, and remove it unless it was kept."""
        with suppress(OSError):  # a full disk: the buffered bytes are of no use
            self.file.close()
        with suppress(OSError):  # the sweep tries again
            self.path.unlink(missing_ok=True)


class Spool:
    """The folder of the bodies. Calls block.

    Args:
        folder: folder of the bodies, which is open to this user alone.
        min_free_bytes: space on its disk that no body may take.
    """

    def __init__(self, folder: Path, min_free_bytes: int) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._min_free = min_free_bytes

    def prepare(self) -> None:
        """Create the folder, and let nobody else read what an earlier release left in it.

        Raises:
            JobsUnavailable: the folder cannot be written, or is open to others and not ours.
        """
        with storage_errors():
            self._make_folders()
            make_private_files((*self._incoming.iterdir(), *self._bodies()))
            probe = self._incoming / f"probe-{secrets.token_hex(8)}"
            probe.touch()
            probe.unlink()

    def check_room(self, size: int) -> None:
        """Refuse a body that does not fit before it arrives.

        Args:
            size: size of the body in bytes.

        Raises:
            StorageFull: the disk has too little free space.
            JobsUnavailable: the folder cannot be used.
        """
        with storage_errors():
            self._make_folders()
            free = shutil.disk_usage(self._folder).free
        if free - size < self._min_free:
            raise StorageFull("not enough disk space for this job; retry later")

    def begin(self) -> Incoming:
        """Create a file for a new body.

        Raises:
            StorageFull: the disk is full.
            JobsUnavailable: the folder cannot be used.
        """
        path = self._incoming / secrets.token_hex(16)
        with storage_errors():
            return Incoming(path, open(path, "xb+", opener=open_private))

    def keep(self, incoming: Incoming, job: str) -> None:
        """Make a body durable under the name of its job.

        Raises:
            StorageFull: the disk is full.
            JobsUnavailable: the folder or the file is gone.
        """
        with storage_errors():
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
            JobsUnavailable: the body cannot be read; another process may have it.
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
        except OSError as error:
            raise JobsUnavailable("the body of the job cannot be read") from error
        if len(data) != piece.size or (piece.crc is not None and zlib.crc32(data) != piece.crc):
            raise MalformedInput("a file in the zip file is damaged")
        return data

    def remove(self, job: str) -> None:
        """Remove the body of a job, if it is there.

        Raises:
            JobsUnavailable: the folder cannot be used.
        """
        with storage_errors():
            self._path(job).unlink(missing_ok=True)

    def jobs(self, older_than_s: float = -0.5) -> set[str]:
        """Return the identifiers of the jobs that have a body here, of some age at least.

        Raises:
            JobsUnavailable: the folder cannot be used.
        """
        now = time.time()
        with storage_errors():
            return {_job(path) for path in self._bodies() if _age_s(path, now) > older_than_s}

    def sweep(self, older_than_s: float, open_jobs: Collection[str]) -> None:
        """Remove old bodies that crashes left behind.

        Args:
            older_than_s: age in seconds from which a body may be removed.
            open_jobs: identifiers of the jobs that still need their bodies.

        Raises:
            JobsUnavailable: the folder cannot be used.
        """
        now = time.time()
        with storage_errors():
            self._make_folders()
            for path in (*self._incoming.iterdir(), *self._bodies()):
                needed = path.parent == self._folder and _job(path) in open_jobs
                if not needed and _age_s(path, now) > older_than_s:
                    path.unlink(missing_ok=True)

    def _make_folders(self) -> None:
        for folder in (self._folder, self._incoming):
            make_private_folder(folder)

    def _bodies(self) -> Iterator[Path]:
        return self._folder.glob(f"*{_SUFFIX}")

    def _path(self, job: str) -> Path:
        return self._folder / f"{job}{_SUFFIX}"


def _job(path: Path) -> str:
    return path.name.removesuffix(_SUFFIX)


def _age_s(path: Path, now: float) -> float:
    """Return the age of a file; one from the future is as old, as the clock was set back.

    A file that was removed meanwhile has no age.
    """
    try:
        return abs(now - path.stat().st_mtime)
    except FileNotFoundError:
        return -1.0


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn errors of the file system into errors of jobs.

    Raises:
        StorageFull: the disk is full.
        JobsUnavailable: any other error; its cause says which.
    """
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise StorageFull("not enough disk space for this job; retry later") from error
        raise JobsUnavailable("the job folder cannot be used") from error
