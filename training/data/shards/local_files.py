"""Files of a set of shards on this machine: fetched once, verified, and mapped into memory.

store --first use--> local folder of this set --size, sha256--> read-only map

The processes of a node share the folder: each file has a lock, which the kernel releases when its
holder ends. A file that the store offers in a folder is read there and takes no space here.
"""

import fcntl
import hashlib
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from training.data.shards.manifest import StoredFile
from training.data.shards.store import NotStored, Store
from training.refusal import DataRefused, RunRefused


class LocalFiles:
    """Verified files of one set.

    Attributes:
        folder: folder in which they are.
    """

    def __init__(self, store: Store, address: str, folder: Path, limit: int | None = None) -> None:
        """Use a store through a local folder.

        Args:
            store: the files.
            address: its address, for messages.
            folder: folder of fetched files, which exists; not used if the store is a folder itself.
            limit: number of bytes of fetched shards to keep, besides the one in use; None keeps
                all.
        """
        self._store, self._address, self._limit = store, address, limit
        self.folder = store.folder or folder
        self._verified: dict[str, int] = {}  # name -> time of change, in ns

    def path(self, file: StoredFile) -> Path:
        """Return the path of a file after it was fetched, if necessary, and verified.

        Raises:
            RunRefused: it is missing, truncated or changed; or the store cannot be used.
        """
        self.map(file).close()
        return self.folder / file.name

    def map(self, file: StoredFile, *, evicts: bool = False) -> mmap.mmap:
        """Map a file that is not empty.

        Args:
            file: the file.
            evicts: if it has to be fetched, remove fetched shards above the limit.

        Raises:
            RunRefused: as `path`.
        """
        if self._store.folder is not None:
            return self._open(file, self.folder / file.name)
        with self._locked(file):
            try:
                return self._open(file, self.folder / file.name)
            except RunRefused:  # not here yet, or damaged since
                self._fetch(file)
            if evicts:
                self._evict(file)
            return self._open(file, self.folder / file.name)

    def _open(self, file: StoredFile, path: Path) -> mmap.mmap:
        try:
            with path.open("rb") as opened:
                self._verify(file, opened)
                return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            raise self._refusal(file, "is missing") from None

    def _verify(self, file: StoredFile, opened: BufferedReader) -> None:
        """Compare a file with its size and its digest, which is read once for each change."""
        found = os.fstat(opened.fileno())
        if found.st_size != file.size:
            raise self._refusal(file, f"has {found.st_size} bytes instead of {file.size}")
        if self._verified.get(file.name) != found.st_mtime_ns:
            if hashlib.file_digest(opened, "sha256").hexdigest() != file.sha256:
                raise self._refusal(file, "was changed after it was written")
            self._verified[file.name] = found.st_mtime_ns

    def _refusal(self, file: StoredFile, fault: str) -> DataRefused:
        return DataRefused(
            f"data.shards: {self._address}: {file.name} {fault}; write the shards again with"
            " g2d prepare --shards --again"
        )

    def _fetch(self, file: StoredFile) -> None:
        partial = self.folder / f".{file.name}.partial"
        try:
            self._store.get(file.name, partial)
            self._open(file, partial).close()
            partial.replace(self.folder / file.name)
        except NotStored:
            raise self._refusal(file, "is missing") from None
        except OSError as error:
            raise DataRefused(f"{self.folder}: {error.strerror}") from None
        finally:
            partial.unlink(missing_ok=True)

    def _evict(self, kept: StoredFile) -> None:
        """Remove the shards that were fetched first, until the others are within the limit.

        Maps of removed files stay valid until they are closed.
        """
        if self._limit is None:
            return
        shards = [
            (path.stat().st_mtime_ns, path, path.stat().st_size)
            for path in self.folder.glob("*.bin")
            if path.name != kept.name
        ]
        total = kept.size + sum(size for *_, size in shards)
        for _, path, size in sorted(shards):
            if total <= self._limit:
                return
            path.unlink(missing_ok=True)
            total -= size

    @contextmanager
    def _locked(self, file: StoredFile) -> Iterator[None]:
        with (self.folder / f".{file.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
