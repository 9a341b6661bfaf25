"""Cache of preprocessed radiographs, as memory-mapped uint8 on the model's grid.

    <folder>/<key>/images.npy       N x size x size, uint8: intensities in [0, 1] times 255
                   masks.npy        K x P x size x size, uint8: planes of the K rows that have
                                    masks (`rows.mask_planes`); absent if K is 0
                   mask_slots.npy   N int64: index into masks.npy, or -1
                   rows.jsonl       samples, with boxes on the grid (`sample_index`)
                   rows.json        number of rows left out by reason; structures of the planes
                   left_out.csv     each row that was left out, with its reason

The key is a digest of the selection, the preprocessing, the version of the readers' rules and the
fingerprint of each data set and of its description, so that a cache never belongs to another
configuration. A fingerprint covers the tables and archives of a set, and the images of a radiograph
table. It does not cover the images of the large public sets or unpacked reports: checking hundreds
of thousands of files on a file server would delay every start of a training by minutes, and these
releases do not change.
After editing one, or completing a download, build the cache again (`again`).
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from radiograph.preprocess import PreprocessSpec
from training.config.run import DataConfig
from training.data.annotations.mask_planes import plane_count
from training.data.cache.build import MANIFEST, build, tidy
from training.data.cache.sample_index import Sample, Samples
from training.data.catalog import open_table
from training.data.rows.dataset_files import DataError

_VERSION = 5
"""Version of the layout, of its contents and of the report rules; a new one builds new caches."""


class RowArrays(Protocol):
    """One uint8 array for each row, by its index."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows, and the shape of each array."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]: ...


class Masks:
    """Planes by radiograph: `masks[i]` is P x size x size uint8, zeros without annotation.

    Only radiographs with masks take space on the disk.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...]) -> None:
        """Open the masks of a cache with N x P x size x size planes."""
        self.shape = shape
        self._none = np.zeros(shape[1:], dtype=np.uint8)
        self._none.flags.writeable = False
        self._slots: NDArray[np.int64] | None = None
        if (folder / "masks.npy").is_file():
            self._slots = np.load(folder / "mask_slots.npy", allow_pickle=False)
            self._masks = np.load(folder / "masks.npy", mmap_mode="r", allow_pickle=False)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        number = range(len(self))[index]
        slot = -1 if self._slots is None else self._slots[number]
        mask: NDArray[np.uint8] = self._none if slot < 0 else self._masks[slot]
        return mask


@dataclass(frozen=True)
class Cache:
    """Rows in a memory map or in shards; `samples[i]` describes `images[i]` and `masks[i]`.

    Attributes:
        images: N x size x size uint8, intensities in [0, 1] times 255.
        masks: planes of the masks, indexed like the images.
        structures: structures of the planes (`rows.mask_planes`).
        samples: rows with their annotations.
        left_out: reason -> number of rows left out.
        folder: folder of the cache.
        shard_of: number of the shard of each row, int64; None in a memory map.
    """

    images: RowArrays
    masks: RowArrays
    samples: Sequence[Sample]
    structures: tuple[str, ...]
    left_out: dict[str, int]
    folder: Path
    shard_of: NDArray[np.int64] | None = None

    def where(self, split: str) -> list[int]:
        """Return the indices of the rows of one split."""
        return [i for i, sample in enumerate(self.samples) if sample.row.split == split]

    @property
    def manifest(self) -> Path:
        """Path of the CSV that lists each row left out, with its reason."""
        return self.folder / MANIFEST

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the folder only, so that another process maps the files itself."""
        return _open, (self.folder,)


def open_cache(
    config: DataConfig,
    spec: PreprocessSpec,
    folder: Path,
    *,
    workers: int = 0,
    again: bool = False,
) -> Cache:
    """Open the cache of a selection, building it under `folder` if it does not exist.

    A second process that opens the same cache waits for the first to build it.

    Args:
        config: selection of rows.
        spec: preprocessing.
        folder: folder of all caches.
        workers: number of processes that build it; 0 builds it in this one.
        again: build it even if it exists.

    Raises:
        MissingData: a data set is incomplete; the message names what is missing.
        DataError: a table is malformed, or no row is left.
    """
    target = folder / _key(config, spec)
    if again or not target.is_dir():
        with _locked(target) as partial:
            if again:
                shutil.rmtree(target, ignore_errors=True)
            if not target.is_dir():  # another process may have built it meanwhile
                build(config, spec, partial, workers)
                partial.rename(target)
                tidy(target)
    return _open(target)


def is_built(config: DataConfig, spec: PreprocessSpec, folder: Path) -> bool:
    """Return whether the cache of a selection is under `folder`."""
    return (folder / _key(config, spec)).is_dir()


def _open(folder: Path) -> Cache:
    """Map the files of a cache.

    Raises:
        DataError: one of them is missing, cut off or damaged.
    """
    try:
        return _mapped(folder)
    except (OSError, ValueError, LookupError, EOFError) as error:
        raise DataError(
            f"the cache {folder} is damaged; build it again with g2d prepare --again"
        ) from error


def _mapped(folder: Path) -> Cache:
    images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    facts = json.loads((folder / "rows.json").read_text())
    structures, left_out = tuple(facts["structures"]), facts["left_out"]
    count, *grid = images.shape
    masks = Masks(folder, (count, plane_count(structures), *grid))
    return Cache(images, masks, Samples(folder), structures, left_out, folder)


def _key(config: DataConfig, spec: PreprocessSpec) -> str:
    digest = hashlib.sha256(f"{_VERSION}{spec.model_dump_json()}{sorted(config.licences)}".encode())
    for name in config.tables:
        digest.update(name.encode() + open_table(config, name).fingerprint())
    if not config.share_alike:
        digest.update(b"no share-alike")
    if config.protocol != "sound":  # so that caches made before protocols existed keep their key
        digest.update(config.protocol.encode())
    return digest.hexdigest()[:16]


@contextmanager
def _locked(target: Path) -> Iterator[Path]:
    """Yield the folder in which a cache is built, locked for this process alone.

    The kernel releases the lock when the process ends, however it ends.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield target.with_name(f".{target.name}")
