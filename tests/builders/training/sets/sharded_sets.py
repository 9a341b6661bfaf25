"""Shards of a miniature cache, in a folder or in S3."""

from dataclasses import dataclass
from pathlib import Path

import boto3

from radiograph.preprocess import PreprocessSpec
from tests.builders.training.runs import tiny_runs
from training.config.run import DataConfig
from training.data.cache.cache import Cache, open_cache
from training.data.shards.manifest import Manifest
from training.data.shards.open_rows import open_shards
from training.data.shards.write import write_shards

SPEC = PreprocessSpec(size_px=tiny_runs.SIZE_PX)


@dataclass(frozen=True)
class ShardedSet:
    """A cache and its shards."""

    cache: Cache
    manifest: Manifest
    config: DataConfig

    def open(self, folder: Path, limit: int | None = None) -> Cache:
        """Open the shards with a local folder."""
        return open_shards(self.config, SPEC, folder, limit)


def sharded(folder: Path, address: str, count: int = 16, rows_per_shard: int = 5) -> ShardedSet:
    """Write a cache of `count` rows, half of them with masks, and its shards."""
    data = tiny_runs.write_kermany(folder / "data", count)
    cache = open_cache(data, SPEC, folder / "cache")
    manifest = write_shards(cache, data, SPEC, address, rows_per_shard=rows_per_shard)
    return ShardedSet(cache, manifest, data.model_copy(update={"shards": address}))


def replace_file(address: str, name: str, content: bytes | None) -> None:
    """Replace a stored file, or remove it if there is no content."""
    if not address.startswith("s3://"):
        path = Path(address) / name
        path.unlink() if content is None else path.write_bytes(content)
        return
    client, (bucket, _, prefix) = boto3.client("s3"), address[5:].partition("/")
    if content is None:
        client.delete_object(Bucket=bucket, Key=f"{prefix}/{name}")
    else:
        client.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=content)


def stored(address: str, name: str) -> bytes:
    """Return the content of a stored file."""
    if not address.startswith("s3://"):
        return (Path(address) / name).read_bytes()
    bucket, _, prefix = address[5:].partition("/")
    body = boto3.client("s3").get_object(Bucket=bucket, Key=f"{prefix}/{name}")["Body"]
    content: bytes = body.read()
    return content
