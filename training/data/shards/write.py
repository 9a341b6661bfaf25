"""Write the rows of a cache as shards.

cache --permuted rows--> litdata's writer --a shard at a time--> store; last of all the manifest

A set without its manifest is incomplete and never read, however the writing ended. The disk of this
machine holds one shard at a time beside the cache.
"""

import importlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radiograph.preprocess import PreprocessSpec
from training.config.run import DataConfig, check_address
from training.data.cache.build import MANIFEST as LEFT_OUT
from training.data.cache.cache import Cache
from training.data.shards.manifest import MANIFEST, PLACES, Manifest, StoredFile, selection
from training.data.shards.open_rows import read_manifest
from training.data.shards.store import Store, open_store
from training.progress import track
from training.refusal import RunRefused

SHARD_BYTES = 64 * 2**20
"""Largest number of bytes of the images of a shard."""
_PROBE = "probe"
"""Name of an empty file that is stored and removed, to check that the store can be written."""
_METADATA = ("rows.jsonl", "rows_end.npy", "rows.json", LEFT_OUT)
"""Files of a cache that are stored as they are."""


def check_target(
    address: str, config: DataConfig, spec: PreprocessSpec, *, again: bool = False
) -> None:
    """Check that shards can be written to an address, before a cache is built.

    Args:
        address: folder, or `s3://bucket/path`.
        config: selection of rows.
        spec: preprocessing.
        again: shards that are there are replaced.

    Raises:
        RunRefused: the address is malformed; or the store cannot be used, or has shards of another
            selection.
    """
    try:
        check_address(address)
    except ValueError as error:
        raise RunRefused(f"--shards: {error}") from None
    importlib.import_module("litdata")  # if it is not installed, that is said before hours of work
    store = open_store(address)
    present = read_manifest(store, address)
    if present and not again:
        present.check_selection(address, config, spec)
        return
    with tempfile.NamedTemporaryFile() as probe:
        store.put(Path(probe.name), _PROBE)
    store.remove(_PROBE)


def write_shards(
    cache: Cache,
    config: DataConfig,
    spec: PreprocessSpec,
    address: str,
    *,
    again: bool = False,
    rows_per_shard: int | None = None,
) -> Manifest:
    """Write the rows of a cache to an address; shards of the same cache are left as they are.

    The bytes of the shards are a function of the cache alone.

    Args:
        cache: the rows.
        config: selection of the rows.
        spec: preprocessing of the images.
        address: folder, or `s3://bucket/path`.
        again: write them even if they are there.
        rows_per_shard: number of rows of a shard; None is as many as `SHARD_BYTES` allow.

    Raises:
        RunRefused: the store cannot be used, or holds shards of another cache.
    """
    store = open_store(address)
    present = read_manifest(store, address)
    if present and not again:
        if present.cache != cache.folder.name:
            raise RunRefused(
                f"--shards {address} holds shards of other files; choose another address, or"
                " replace them with --again"
            )
        return present
    count = len(cache.samples)
    rows_per_shard = rows_per_shard or max(1, SHARD_BYTES // spec.size_px**2)
    order = np.random.default_rng(0).permutation(count)  # place -> row
    with tempfile.TemporaryDirectory(prefix=".shards-", dir=cache.folder.parent) as temporary:
        folder = Path(temporary)
        shards = _sent(_written(cache, order, rows_per_shard, folder), store)
        np.save(folder / PLACES, np.argsort(order).astype(np.int64))
        metadata = [*(cache.folder / name for name in _METADATA), *folder.iterdir()]
        manifest = Manifest(
            cache=cache.folder.name,
            selection=selection(config),
            preprocess=spec,
            rows=count,
            rows_per_shard=rows_per_shard,
            shards=shards,
            files=_sent(metadata, store),
        )
        (folder / MANIFEST).write_text(manifest.model_dump_json())
        store.put(folder / MANIFEST, MANIFEST)
    return manifest


def _written(
    cache: Cache, order: NDArray[np.int64], rows_per_shard: int, folder: Path
) -> Iterator[Path]:
    """Write shards, and yield each as it is complete; at the end `index.json` is in the folder."""
    from litdata.streaming.writer import BinaryWriter

    writer = BinaryWriter(str(folder), chunk_size=rows_per_shard)
    for place, row in enumerate(track(order.tolist(), "rows put into shards")):
        if shard := writer.add_item(place, _record(cache, row)):
            yield Path(shard)
    yield from map(Path, writer.done())
    writer.merge()


def _record(cache: Cache, row: int) -> bytes:
    """Return the image of a row, followed by the planes of its masks unless they are empty."""
    masks = cache.masks[row]
    return cache.images[row].tobytes() + (masks.tobytes() if masks.any() else b"")


def _sent(files: Iterable[Path], store: Store) -> tuple[StoredFile, ...]:
    """Store files, and return their descriptions; shards are removed from this machine."""
    sent = []
    for path in files:
        sent.append(StoredFile.of(path))
        store.put(path, path.name)
        if path.suffix == ".bin":
            path.unlink()
    return tuple(sent)
