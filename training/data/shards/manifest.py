"""Manifest of a set of shards: `shards.json`, which is written last.

    <address>/shards.json                 this manifest
              chunk-0-0.bin, ...          shards in the layout of litdata, and its `index.json`
              places.npy                  row of the cache -> place in the shards, int64
              rows.jsonl, rows_end.npy    samples, as in the cache; also rows.json, left_out.csv

Rows are spread over the shards by a permutation, so that every shard is a random sample of the
rows, and a batch from few shards does not hold one patient many times.
"""

import hashlib
import math
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from radiograph.preprocess import PreprocessSpec
from radiograph.strict_model import StrictModel
from training.config.files import describe_error
from training.config.run import DataConfig
from training.refusal import DataRefused, RunRefused

MANIFEST = "shards.json"
"""Name of the manifest."""
PLACES = "places.npy"
"""Name of the file that maps rows of the cache to places in the shards."""


class StoredFile(StrictModel):
    """A file of the set.

    Attributes:
        name: its name, without a folder.
        size: number of bytes.
        sha256: digest of its content, in hexadecimal digits.
    """

    model_config = ConfigDict(frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)
    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @classmethod
    def of(cls, path: Path) -> Self:
        """Describe a file on this machine."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(name=path.name, size=path.stat().st_size, sha256=digest)


class Manifest(StrictModel):
    """Content of a set of shards.

    Attributes:
        version: version of the layout.
        cache: key of the cache that the shards were written from.
        selection: keys of `DataConfig` that select the rows.
        preprocess: preprocessing of the images.
        rows: number of rows, at least one.
        rows_per_shard: number of rows of every shard but the last.
        shards: files of the shards, in the order of their places.
        files: all other files.
    """

    version: Literal[1] = 1
    cache: str
    selection: dict[str, Any]
    preprocess: PreprocessSpec
    rows: int = Field(ge=1)
    rows_per_shard: int = Field(ge=1)
    shards: tuple[StoredFile, ...]
    files: tuple[StoredFile, ...]

    @model_validator(mode="after")
    def _shards_hold_all_rows(self) -> Self:
        if len(self.shards) != math.ceil(self.rows / self.rows_per_shard):
            raise ValueError("the number of shards does not fit the number of rows")
        return self

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that differ between sets with different files."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def check_selection(self, address: str, config: DataConfig, spec: PreprocessSpec) -> None:
        """Check that the set holds the rows and the images that a configuration selects.

        Raises:
            RunRefused: it holds others; the message names the key.
        """
        wanted = _keys(selection(config), spec)
        held = _keys(self.selection, self.preprocess)
        for key in sorted(wanted.keys() | held.keys()):
            if wanted.get(key) != held.get(key):
                raise RunRefused(
                    f"data.shards: {address} was written with {key}: {held.get(key)}, and the"
                    f" configuration has {wanted.get(key)}"
                )


def selection(config: DataConfig) -> dict[str, Any]:
    """Return the keys of a configuration that select rows, wherever the data sets are."""
    left_out = {"root", "shards", "window_shards"}
    return config.model_dump(mode="json", exclude=left_out)


def _keys(selected: dict[str, Any], spec: PreprocessSpec) -> dict[str, Any]:
    """Return the keys of a configuration that decide the content of a set, with their values."""
    preprocessing = {f"preprocess.{key}": x for key, x in spec.model_dump(mode="json").items()}
    return {f"data.{key}": value for key, value in selected.items()} | preprocessing


def parse_manifest(content: bytes, address: str) -> Manifest:
    """Parse `shards.json`.

    Raises:
        RunRefused: it is malformed, or of another version.
    """
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        reason = describe_error(error)
        raise DataRefused(f"data.shards: {address}: {MANIFEST} is unusable: {reason}") from None
