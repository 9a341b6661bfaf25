"""Places that hold shards: a folder, such as one on NFS, or an S3-compatible store.

s3://bucket/set   `S3Store`, through litdata's client of S3
/mnt/set          `FolderStore`

Credentials, region and endpoint of a store come from the environment or the files of the AWS tools
(AWS_PROFILE, AWS_ENDPOINT_URL, ...) and never from a configuration. Messages of the client are not
passed on, because they may quote requests.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from training.refusal import DataRefused

_ATTEMPTS, _CONNECT_S = 5, 10.0
"""Attempts of each request to a store, with growing pauses, and seconds to connect."""


class NotStored(Exception):
    """A store has no file of a name."""


class Store(Protocol):
    """A place that holds the files of one set."""

    @property
    def folder(self) -> Path | None:
        """Folder in which the files can be read in place; None if they have to be fetched."""

    def get(self, name: str, path: Path) -> None:
        """Write a stored file to `path`.

        Raises:
            NotStored: there is no file of this name.
            RunRefused: the store cannot be reached, or refuses.
        """

    def put(self, path: Path, name: str) -> None:
        """Store a file, which then appears completely or not at all.

        Raises:
            RunRefused: the store cannot be reached, or refuses.
        """

    def remove(self, name: str) -> None:
        """Remove a stored file.

        Raises:
            RunRefused: the store cannot be reached, or refuses.
        """


class FolderStore:
    """Files in a folder that every node sees under the same path."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, which `put` creates."""
        self.folder = folder

    def get(self, name: str, path: Path) -> None:
        """Copy a file of the folder."""
        try:
            shutil.copyfile(self.folder / name, path)
        except FileNotFoundError:
            raise NotStored(name) from None
        except OSError as error:
            raise DataRefused(f"data.shards: {self.folder}: {error.strerror}") from None

    def put(self, path: Path, name: str) -> None:
        """Copy a file into the folder."""
        partial = self.folder / f".{name}.{os.getpid()}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, partial)
            partial.replace(self.folder / name)
        except OSError as error:
            raise DataRefused(f"data.shards: {self.folder}: {error.strerror}") from None
        finally:
            partial.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Remove a file of the folder."""
        (self.folder / name).unlink(missing_ok=True)


class S3Store:
    """Objects below a prefix of a bucket."""

    folder = None

    def __init__(self, address: str) -> None:
        """Use the store of `s3://bucket/prefix`; nothing is sent yet."""
        from botocore.config import Config
        from litdata.streaming.fs_provider import S3FsProvider

        # litdata would try 1000 times, for hours, before it says that there is no such store.
        patient = Config(
            retries={"max_attempts": _ATTEMPTS, "mode": "standard"}, connect_timeout=_CONNECT_S
        )
        self._address = address.rstrip("/")
        self._provider = S3FsProvider({"config": patient})

    def get(self, name: str, path: Path) -> None:
        """Download an object."""
        with self._answers(name):
            self._provider.download_file(f"{self._address}/{name}", str(path))

    def put(self, path: Path, name: str) -> None:
        """Upload a file."""
        with self._answers(name):
            self._provider.upload_file(str(path), f"{self._address}/{name}")

    def remove(self, name: str) -> None:
        """Remove an object."""
        with self._answers(name):
            self._provider.delete_file_or_directory(f"{self._address}/{name}")

    @contextmanager
    def _answers(self, name: str) -> Iterator[None]:
        """Turn errors of the client into ours, which tell their code or kind alone."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, Boto3Error, ClientError) as error:
            # A failed upload wraps the answer of the store.
            cause = error.__context__ if isinstance(error, Boto3Error) else error
            if not isinstance(cause, ClientError):
                raise DataRefused(
                    f"data.shards: {self._address} cannot be used ({type(error).__name__}); the"
                    " environment gives credentials and endpoint (AWS_PROFILE, AWS_ENDPOINT_URL,"
                    " ...)"
                ) from None
            code = str(cause.response.get("Error", {}).get("Code", "unknown"))
            if code in {"404", "NoSuchKey"}:
                raise NotStored(name) from None
            raise DataRefused(f"data.shards: {self._address} answers {code} for {name}") from None


def open_store(address: str) -> Store:
    """Return the store at an address that `training.config.run.check_address` accepts."""
    return S3Store(address) if address.startswith("s3://") else FolderStore(Path(address))
