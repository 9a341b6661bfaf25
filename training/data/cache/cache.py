"""Every radiograph once through `radiograph.preprocess`, kept as uint8 on the model's grid.

    <folder>/<key>/images.npy       N x size x size, uint8: intensities in [0, 1] times 255
                   masks.npy        K x size x size, uint8: one bit for each of `STRUCTURES`,
                                    `IGNORE`, of the rows that have any; absent if none has
                   mask_slots.npy   N int64: which of the K, or -1
                   rows.jsonl       what is known of each, boxes on the grid (`samples`)
                   rows.json        reason -> rows left out
                   left_out.csv     each row that was left out, and why

The key is a digest of the selection, the preprocessing, the readers' rules and each data set's
fingerprint, so that a cache can never belong to another configuration. A fingerprint is the
content of the set's tables and archives. Of a radiograph table it is its images too. The images
of the large sets, and reports that were unpacked, are not looked at: hundreds of thousands of
files, on a file server, would make every start of a training wait for minutes. They are
releases that nobody edits; whoever does, or completes a download, builds anew (`again`).
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radiograph.preprocess import PreprocessSpec
from training.config.run import PairsConfig
from training.data.cache.build import MANIFEST, build, tidy
from training.data.cache.render import Sample
from training.data.cache.sample_index import Samples
from training.data.catalog import open_reader

_VERSION = 2
"""Of the layout, of what is put in it, and of the rules in `reports`: another builds anew."""


class Masks:
    """Mask bits by radiograph: `masks[i]` is size x size, zeros where nothing is annotated.

    Only the radiographs that have masks take room on the disk.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...]) -> None:
        """Open the masks of a cache whose images have this shape."""
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
    """A memory-mapped cache; `samples[i]` describes `images[i]` and `masks[i]`."""

    images: NDArray[np.uint8]
    masks: Masks
    samples: Sequence[Sample]
    left_out: dict[str, int]
    """Reason -> rows."""
    folder: Path

    def where(self, split: str) -> list[int]:
        """Indices of one split."""
        return [i for i, sample in enumerate(self.samples) if sample.row.split == split]

    @property
    def manifest(self) -> Path:
        """The CSV that names each row that was left out, and why."""
        return self.folder / MANIFEST

    def __reduce__(self) -> tuple[object, ...]:
        """Another process opens the files itself; a memory map would be copied whole."""
        return _open, (self.folder,)


def open_cache(
    config: PairsConfig,
    spec: PreprocessSpec,
    folder: Path,
    *,
    workers: int = 0,
    again: bool = False,
) -> Cache:
    """The cache of a selection, built under `folder` when it is not there yet.

    A second process that wants the same cache waits for the first.

    Args:
        config: which rows.
        spec: the preprocessing.
        folder: of all caches.
        workers: processes that build it; 0 builds it in this one.
        again: build it even if it is there.

    Raises:
        MissingData: a data set is not there; the message says what is missing.
        DataError: a table is not what it should be, or no row is left.
    """
    target = folder / _key(config, spec)
    if again or not target.is_dir():
        with _alone(target) as partial:
            if again:
                shutil.rmtree(target, ignore_errors=True)
            if not target.is_dir():  # another process may have been faster
                build(config, spec, partial, workers)
                partial.rename(target)
                tidy(target)
    return _open(target)


def _open(folder: Path) -> Cache:
    images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    left_out = json.loads((folder / "rows.json").read_text())["left_out"]
    return Cache(images, Masks(folder, images.shape), Samples(folder), left_out, folder)


def _key(config: PairsConfig, spec: PreprocessSpec) -> str:
    digest = hashlib.sha256(f"{_VERSION}{spec.model_dump_json()}{sorted(config.licences)}".encode())
    for name in config.tables:
        digest.update(name.encode() + open_reader(config.root, name).fingerprint())
    if config.protocol != "sound":  # a key from before there were protocols stays as it was
        digest.update(config.protocol.encode())
    return digest.hexdigest()[:16]


@contextmanager
def _alone(target: Path) -> Iterator[Path]:
    """The folder in which a cache is built, held by this process alone.

    The kernel lets go of the lock when the process ends, however it ends.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield target.with_name(f".{target.name}")
