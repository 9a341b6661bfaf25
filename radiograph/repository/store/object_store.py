"""An S3-compatible store that holds models, in a layout in which nothing half-written shows.

    s3://bucket/prefix/
      g2d-cxr/
        blobs/9f2c...         files and manifests of all versions, each under its own SHA-256
        index.json            digest of the manifest of each version: a version exists by this line
        aliases.json
        signatures/4.minisig

Blobs never change, so that publishers cannot overwrite each other's, and one that is killed leaves
blobs that nothing refers to. `index.json` and `aliases.json` are replaced by conditional writes
(If-Match, If-None-Match): of two writers that read the same state, the second is refused.

Credentials, region and endpoint are those of the environment (`AWS_...`).
"""

import contextlib
import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radiograph.errors import InvalidVersion, StoreConflict, StoreUnavailable
from radiograph.repository.integrity.version_files import MAX_JSON_BYTES, open_regular
from radiograph.repository.names import MODEL_NAME

_LOCATION = re.compile(r"s3:/+(?P<place>[^/]+(/[^/]+)*)/*")
"""A location as it was given, or as a path, which has one slash."""

_CHUNK_BYTES = 8 * 2**20
_TIMEOUTS = {"connect_timeout": 5, "read_timeout": 30, "retries": {"max_attempts": 2}}
_CONFLICTS = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}


def is_location(models_dir: Path | str) -> bool:
    """Return whether a models directory is in a store."""
    return str(models_dir).startswith("s3:")


@dataclass(frozen=True)
class Text:
    """A small file that is replaced as a whole.

    Attributes:
        data: its bytes.
        tag: tells this content from any other; a conditional write names it.
    """

    data: bytes
    tag: str


class ObjectStore:
    """The models at one location of a store. Safe to call from several threads; calls block.

    Args:
        location: `s3://bucket/prefix`.

    Attributes:
        url: the location, without a slash at its end.
    """

    def __init__(self, location: Path | str) -> None:
        """Prepare the client; nothing is connected yet.

        Raises:
            StoreUnavailable: the location is not one of S3, or the extra `store` is missing.
        """
        found = _LOCATION.fullmatch(str(location))
        if found is None:
            raise StoreUnavailable(f"{location} is not s3://BUCKET/PREFIX")
        self._root = found["place"]
        self.url = f"s3://{self._root}"
        self._files = _client()

    def models(self) -> list[str]:
        """Return the names of the models, sorted.

        Raises:
            StoreUnavailable: the store does not answer, or the bucket does not exist.
        """
        return sorted(name for name in self._entries("") if MODEL_NAME.fullmatch(name))

    def state(self, name: str) -> Mapping[str, str]:
        """Return what tells whether anything about a model has changed.

        Returns:
            Tag of each small file by its name; those of blobs, which never change, are left out.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        small = self._entries(name)
        signatures = self._entries(f"{name}/signatures") if "signatures" in small else {}
        return {
            **{file: tag for file, tag in small.items() if tag},
            **{f"signatures/{file}": tag for file, tag in signatures.items()},
        }

    def read(self, name: str, file: str) -> Text | None:
        """Return a small file of a model, or None if it does not exist.

        Raises:
            StoreUnavailable: the store does not answer.
            InvalidVersion: the file is too large.
        """
        path = f"{self._root}/{name}/{file}"
        with _store_errors():
            try:
                info = self._files.info(path)  # first: a change after it is a conflict later
                if int(info["size"]) > MAX_JSON_BYTES:
                    raise InvalidVersion(f"{name}/{file} is larger than {MAX_JSON_BYTES} bytes")
                return Text(self._files.cat_file(path), info["ETag"])
            except FileNotFoundError:
                return None

    def replace(self, name: str, file: str, data: bytes, before: Text | None) -> None:
        """Write a small file of a model in place of what was read, or of nothing.

        Raises:
            StoreConflict: it has changed since then; nothing was written.
            StoreUnavailable: the store does not answer; the file may or may not be written.
        """
        condition = {"IfNoneMatch": "*"} if before is None else {"IfMatch": before.tag}
        bucket, _, prefix = self._root.partition("/")
        key = "/".join(filter(None, (prefix, name, file)))
        with _store_errors():
            self._files.call_s3("put_object", Bucket=bucket, Key=key, Body=data, **condition)

    def put_blob(self, name: str, digest: str, path: Path) -> None:
        """Upload a file under its SHA-256, unless the store has it.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        target = self._blob(name, digest)
        with _store_errors():
            if not self._files.exists(target):
                self._files.put_file(str(path), target, chunksize=_CHUNK_BYTES)

    def get_blob(self, name: str, digest: str, target: Path) -> None:
        """Download a file and compare it with its SHA-256.

        Raises:
            StoreUnavailable: the store does not answer.
            InvalidVersion: the file is missing, or has another content.
        """
        with _store_errors():
            try:
                blob = self._files.open(self._blob(name, digest), "rb")
                with blob as reader, target.open("xb") as writer:
                    shutil.copyfileobj(reader, writer, _CHUNK_BYTES)
            except FileNotFoundError:
                raise InvalidVersion(f"{self.url}/{name} lacks blob {digest[:12]}") from None
        with open_regular(target) as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest:
            raise InvalidVersion(f"{self.url}/{name}: blob {digest[:12]} is damaged")

    def _blob(self, name: str, digest: str) -> str:
        return f"{self._root}/{name}/blobs/{digest}"

    def _entries(self, folder: str) -> dict[str, str]:
        """Return the names in a folder; each with its tag, which is empty for a folder."""
        path = f"{self._root}/{folder}".rstrip("/")
        with _store_errors():
            try:
                found = self._files.ls(path, detail=True, refresh=True)
            except FileNotFoundError:
                self._files.call_s3("head_bucket", Bucket=self._root.partition("/")[0])
                return {}  # the bucket is there, and nothing is in it yet
        return {
            item["name"].rpartition("/")[2]: item.get("ETag", "")
            for item in found
            if item["name"] != path
        }


def _client() -> Any:
    try:
        import s3fs
    except ImportError as error:
        raise StoreUnavailable(
            f"models in a store need the extra `store` ({error.name} is not installed)"
        ) from None
    files = s3fs.S3FileSystem(
        use_listings_cache=False, skip_instance_cache=True, config_kwargs=_TIMEOUTS
    )
    files.retries = 1  # whoever polls tries again
    return files


@contextlib.contextmanager
def _store_errors() -> Iterator[None]:
    """Turn errors of the client into ours, without what a server says."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (OSError, BotoCoreError, ClientError) as error:
        if _code(error) in _CONFLICTS:
            raise StoreConflict(
                "the store was changed by another writer at the same time"
            ) from None
        raise StoreUnavailable(f"the store cannot be used: {type(error).__name__}") from error


def _code(error: BaseException | None) -> str:
    """Return the code that a server gave, of an error or of its cause."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code", ""))
    return "" if error is None or error.__cause__ is error else _code(error.__cause__)
