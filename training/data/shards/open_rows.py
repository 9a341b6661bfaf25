"""Rows of a run, from the shards that its configuration names or else from its cache.

row --places--> shard, place in it --`LocalFiles`--> map of the shard --> image, planes of masks
"""

import json
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radiograph.preprocess import PreprocessSpec
from training.config.run import BaseRunConfig, DataConfig
from training.data.annotations.mask_planes import plane_count
from training.data.cache.cache import Cache, open_cache
from training.data.cache.sample_index import Samples
from training.data.shards.local_files import LocalFiles
from training.data.shards.manifest import MANIFEST, PLACES, Manifest, parse_manifest
from training.data.shards.store import NotStored, Store, open_store
from training.refusal import DataRefused

_OPEN = 256
"""Number of shards that a process keeps mapped; a map takes a file descriptor."""
_SIZE_BYTES = 4
"""Bytes of litdata before the value of a record, which hold its size."""


def open_rows(config: BaseRunConfig, folder: Path) -> Cache:
    """Open the rows of a run.

    Args:
        config: configuration of the run.
        folder: folder of all caches, and of the shards that are fetched.

    Raises:
        RunRefused: shards are named, and cannot be used.
        MissingData: a cache has to be built, and a data set is incomplete.
        DataError: likewise, and a table is malformed.
    """
    if config.data.shards is None:
        return open_cache(config.data, config.preprocess, folder)
    kept_gb = config.engine.shards_kept_gb
    limit = None if kept_gb is None else int(kept_gb * 1e9)
    return open_shards(config.data, config.preprocess, folder, limit)


def open_shards(
    config: DataConfig, spec: PreprocessSpec, folder: Path, limit: int | None = None
) -> Cache:
    """Open the rows of `config.shards`; images are fetched when they are asked for.

    Args:
        config: selection of rows, and the address of their shards.
        spec: preprocessing.
        folder: folder in which a folder for the set is made.
        limit: number of bytes of fetched shards to keep; None keeps all.

    Raises:
        RunRefused: there are no complete shards, or those of another selection.
    """
    manifest = check_shards(config, spec)
    address = str(config.shards)
    store = open_store(address)
    local = folder / f"shards-{manifest.digest}"
    local.mkdir(parents=True, exist_ok=True)
    files = LocalFiles(store, address, local, limit)
    for file in manifest.files:
        files.path(file)
    facts = json.loads((files.folder / "rows.json").read_text())
    structures = tuple(facts["structures"])
    records = Records(files, manifest, plane_count(structures))
    samples = Samples(files.folder)
    return Cache(
        records.images,
        records.masks,
        samples,
        structures,
        facts["left_out"],
        local,
        records.shard_of,
    )


def check_shards(config: DataConfig, spec: PreprocessSpec) -> Manifest:
    """Return the manifest of `config.shards`, which has the rows of this selection.

    Raises:
        RunRefused: there are no complete shards, or those of another selection.
    """
    address = str(config.shards)
    manifest = read_manifest(open_store(address), address)
    if manifest is None:
        raise DataRefused(
            f"data.shards: {address} holds no complete shards; write them with g2d prepare --shards"
        )
    manifest.check_selection(address, config, spec)
    return manifest


def read_manifest(store: Store, address: str) -> Manifest | None:
    """Read the manifest of a set; None without one, because the set is absent or incomplete.

    Raises:
        RunRefused: the store cannot be used, or the manifest is malformed.
    """
    with tempfile.TemporaryDirectory(prefix="g2d-shards-") as folder:
        path = Path(folder) / MANIFEST
        try:
            store.get(MANIFEST, path)
        except NotStored:
            return None
        return parse_manifest(path.read_bytes(), address)


class Records:
    """Records of a set: for each row its image, followed by the planes of its masks if it has any.

    Attributes:
        images: images by row, size x size uint8.
        masks: planes by row, P x size x size uint8, zeros without annotation.
        shard_of: number of the shard of each row, int64.
    """

    def __init__(self, files: LocalFiles, manifest: Manifest, planes: int) -> None:
        """Read records with the given number of planes, whose metadata have been fetched."""
        size = manifest.preprocess.size_px
        self._files, self._manifest = files, manifest
        self._places = np.load(files.folder / PLACES, mmap_mode="r", allow_pickle=False)
        self.shard_of = self._places // manifest.rows_per_shard
        self._map = lru_cache(maxsize=_OPEN)(self._mapped)
        self.images = ShardedImages(self, (manifest.rows, size, size))
        self.masks = ShardedMasks(self, (manifest.rows, planes, size, size))

    def read(self, row: int) -> NDArray[np.uint8]:
        """Return the bytes of a record, without a copy.

        Raises:
            RunRefused: its shard cannot be fetched, or was changed.
        """
        shard, within = divmod(int(self._places[row]), self._manifest.rows_per_shard)
        content = self._map(shard)
        # A shard is: number of records, the offset of each and of the end (uint32), the records.
        start, end = content[4 * (within + 1) : 4 * (within + 3)].view(np.uint32)
        return content[start + _SIZE_BYTES : end]

    def _mapped(self, shard: int) -> NDArray[np.uint8]:
        mapped = self._files.map(self._manifest.shards[shard], evicts=True)
        return np.frombuffer(mapped, dtype=np.uint8)


class ShardedImages:
    """Images by row, each size x size uint8."""

    def __init__(self, records: Records, shape: tuple[int, ...]) -> None:
        """Read images of the given shape, N x size x size."""
        self.shape, self._records = shape, records

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        _, height, width = self.shape
        record = self._records.read(range(len(self))[index])
        return record[: height * width].reshape(height, width)


class ShardedMasks:
    """Planes by row, each P x size x size uint8."""

    def __init__(self, records: Records, shape: tuple[int, ...]) -> None:
        """Read planes of the given shape, N x P x size x size."""
        self.shape, self._records = shape, records
        self._none = np.zeros(shape[1:], dtype=np.uint8)
        self._none.flags.writeable = False

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        height, width = self.shape[2:]
        planes = self._records.read(range(len(self))[index])[height * width :]
        return planes.reshape(self.shape[1:]) if planes.size else self._none
