"""The index of one model: the digest that each version had when it was published.

    {"schema_version": 1, "digests": {"3": "9f2c...", "4": "01ab..."}}

A digest is that of the manifest, which holds the digest of every other file, so an entry pins the
whole version. Entries are only ever added: a version whose manifest has another digest is not the
version that was published, and is refused.
"""

import fcntl
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from radiograph.errors import AlteredVersion, InvalidVersion
from radiograph.manifest import Digest
from radiograph.repository.integrity.version_files import read_json, replace_file
from radiograph.strict_model import StrictModel

INDEX_NAME = "index.json"


class Index(StrictModel):
    """The pinned digests of one model."""

    schema_version: Literal[1] = 1
    digests: dict[Annotated[int, Field(ge=1)], Digest] = Field(default_factory=dict)
    """Digest of each version by its number."""

    def check(self, version: int, digest: str) -> None:
        """Refuse a version whose digest is not the pinned one; one without a pin is accepted.

        Raises:
            AlteredVersion: the digests differ.
        """
        pinned = self.digests.get(version, digest)
        if pinned != digest:
            raise AlteredVersion(
                f"the manifest was changed after publication: its digest is {digest[:12]}, "
                f"and {pinned[:12]} is pinned in {INDEX_NAME}"
            )


class IndexFile:
    """The `index.json` of one model, read and replaced as a whole.

    Args:
        folder: the folder of the model.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> Index:
        """Read the index; empty if there is no file.

        Raises:
            InvalidVersion: the file is corrupt or cannot be read.
        """
        try:
            return Index.model_validate_json(read_json(self._folder / INDEX_NAME))
        except FileNotFoundError:
            return Index()
        except ValidationError as error:
            raise InvalidVersion(f"{INDEX_NAME}: {error.errors()[0]['msg']}") from error
        except OSError as error:
            raise InvalidVersion(f"{INDEX_NAME}: {error.strerror}") from error

    def pin(self, version: int, digest: str) -> bool:
        """Pin the digest of a version, durably; does nothing if it is pinned already.

        Returns:
            True if the pin is new.

        Raises:
            AlteredVersion: another digest is pinned.
            InvalidVersion: the file is corrupt.
            OSError: the folder cannot be written.
        """
        with (self._folder / ".index.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            index = self.read()
            index.check(version, digest)
            if version in index.digests:
                return False
            digests = dict(sorted({**index.digests, version: digest}.items()))
            self._replace(Index(digests=digests))
            return True

    def _replace(self, index: Index) -> None:
        data = (index.model_dump_json(indent=2) + "\n").encode()
        replace_file(self._folder / INDEX_NAME, data)
