"""Spool: received instances and results as files, durable before anybody is told so.

    incoming/<random> --fsync, rename, fsync of the folder--> inputs/<digest> | results/<digest>
                                                    dead-letter/<place>/<number>.dcm: hard links

No file name comes from a peer, and no other user can read the files. Files that the journal no
longer needs, and those that a crash left behind, are removed by `sweep`.
"""

import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from service.errors import StorageFull
from service.gateway.errors import GatewayUnavailable
from service.host import is_disk_full
from service.storage.private_files import make_private_folder, open_private

Kind = Literal["inputs", "results"]
KINDS: tuple[Kind, ...] = ("inputs", "results")

_UNRECORDED_S = 600.0
"""Age up to which a file that the journal does not know may still be about to be recorded."""


class Spool:
    """Files of the gateway. Calls block; safe to call from several threads.

    Args:
        folder: folder of the gateway, which is open to this user alone.
        min_free_bytes: space on its disk that no file may take.
    """

    def __init__(self, folder: Path, min_free_bytes: int) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._dead = folder / "dead-letter"
        self._min_free = min_free_bytes

    def prepare(self) -> None:
        """Create the folders, and remove what a crash left half-written.

        Raises:
            GatewayUnavailable: the folder cannot be written, or is open to others and not ours.
        """
        with _storage_errors():
            for folder in (self._folder, self._incoming, self._dead):
                make_private_folder(folder)
            for kind in KINDS:
                make_private_folder(self._folder / kind)
            for path in self._incoming.iterdir():
                path.unlink()

    def check_room(self, size: int) -> None:
        """Refuse a file that does not fit before it is written.

        Raises:
            StorageFull: the disk has too little free space.
            GatewayUnavailable: the folder cannot be used.
        """
        with _storage_errors():
            free = shutil.disk_usage(self._folder).free
        if free - size < self._min_free:
            raise StorageFull("not enough disk space for an instance; retry later")

    def write(self, kind: Kind, digest: str, data: bytes) -> None:
        """Make a file durable. A file of the same digest has the same content, and is replaced.

        Raises:
            StorageFull: the disk is full.
            GatewayUnavailable: the folder cannot be written.
        """
        self.check_room(len(data))
        incoming = self._incoming / secrets.token_hex(16)
        try:
            with _storage_errors():
                with open(incoming, "xb", opener=open_private) as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                path = self.path(kind, digest)
                incoming.rename(path)
                _fsync_folder(path.parent)
        finally:
            with suppress(OSError):
                incoming.unlink(missing_ok=True)

    def path(self, kind: Kind, digest: str) -> Path:
        """Return the path of a file."""
        return self._folder / kind / digest

    def has(self, kind: Kind, digest: str) -> bool:
        """Return whether a file exists."""
        return self.path(kind, digest).is_file()

    def read(self, kind: Kind, digest: str) -> bytes:
        """Return the content of a file.

        Raises:
            GatewayUnavailable: the file cannot be read.
        """
        with _storage_errors():
            return self.path(kind, digest).read_bytes()

    def bury(self, kind: Kind, digest: str, place: str, number: int) -> None:
        """Show a file in the folder of dead letters of a peer or of the service.

        Raises:
            GatewayUnavailable: the folder cannot be written.
        """
        with _storage_errors():
            make_private_folder(self._dead / place)
            letter = self._letter(place, number)
            letter.unlink(missing_ok=True)
            with suppress(FileNotFoundError):  # somebody removed it; the record is what remains
                os.link(self.path(kind, digest), letter)
            _fsync_folder(letter.parent)

    def unearth(self, place: str, number: int) -> None:
        """Remove a file from the folder of dead letters.

        Raises:
            GatewayUnavailable: the folder cannot be written.
        """
        with _storage_errors():
            self._letter(place, number).unlink(missing_ok=True)

    def sweep(self, needed: Collection[tuple[str, str]], now: float) -> int:
        """Remove files that are not needed.

        Args:
            needed: kind and digest of the files that the journal still needs.
            now: time in seconds since 1970.

        Returns:
            Number of files that were removed.

        Raises:
            GatewayUnavailable: the folder cannot be used.
        """
        removed = 0
        with _storage_errors():
            for kind in KINDS:
                for path in (self._folder / kind).iterdir():
                    if (kind, path.name) not in needed and _is_settled(path, now):
                        path.unlink(missing_ok=True)
                        removed += 1
        return removed

    def remove(self, kind: Kind, digest: str) -> None:
        """Remove a file that the journal no longer needs; the sweep tries again if this fails."""
        with suppress(OSError):
            self.path(kind, digest).unlink(missing_ok=True)

    def _letter(self, place: str, number: int) -> Path:
        return self._dead / place / f"{number}.dcm"


def _is_settled(path: Path, now: float) -> bool:
    """Return whether a file is too old to be one that is about to be recorded."""
    try:
        return abs(now - path.stat().st_mtime) > _UNRECORDED_S
    except FileNotFoundError:
        return False


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _storage_errors() -> Iterator[None]:
    """Turn errors of the file system into errors of the gateway."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise StorageFull("not enough disk space for an instance; retry later") from error
        raise GatewayUnavailable("the folder of the gateway cannot be used") from error
