"""Every radiograph once through `radiograph.preprocess`, kept as uint8 on the model's grid.

    <folder>/images.npy   N x size x size, uint8: intensities in [0, 1] times 255
    <folder>/masks.npy    N x size x size, uint8: one bit for each of `STRUCTURES`, `IGNORE`
    <folder>/rows.json    what is known of each, boxes already on the grid; what was left out

The folder's name is a digest of the tables, their images, the selection and the preprocessing,
so a cache can never belong to another configuration.
"""

import hashlib
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from radiograph import raster
from radiograph.errors import InputError
from radiograph.geometry import Box, Geometry
from radiograph.preprocess import PreprocessSpec, to_grid
from training.config import PairsConfig
from training.data.tables import Row, Table
from training.progress import track

STRUCTURES = ("Left lung", "Right lung", "Cardiomediastinum", "Lung opacity")
IGNORE = 1 << 7
MASK_SOURCES = {
    "Left_Lung": "Left lung",
    "Right_Lung": "Right lung",
    "Cardiomediastinum": "Cardiomediastinum",
    "Ground_Glass_Opacities": "Lung opacity",
    "Consolidation": "Lung opacity",
}
BOX_SOURCES = {
    "Left Lung": "Left lung",
    "Right Lung": "Right lung",
    "Pneumonia": "Lung opacity",
    "Infiltrate": "Lung opacity",
}
_VERSION = 1


@dataclass(frozen=True)
class Sample:
    """One cached radiograph.

    Attributes:
        row: what the table says.
        known: the structures whose mask is annotated.
        boxes: (label, box on the grid), for the labels in `BOX_SOURCES`.
    """

    row: Row
    known: frozenset[str]
    boxes: tuple[tuple[str, Box], ...]


@dataclass(frozen=True)
class Cache:
    """A memory-mapped cache; `samples[i]` describes `images[i]` and `masks[i]`."""

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    samples: list[Sample]
    left_out: dict[str, int]
    """Reason -> rows."""

    def where(self, split: str) -> list[int]:
        """Indices of one split."""
        return [i for i, sample in enumerate(self.samples) if sample.row.split == split]


def open_cache(config: PairsConfig, spec: PreprocessSpec, folder: Path) -> Cache:
    """The cache of a selection, built under `folder` when it is not there yet."""
    target = folder / _key(config, spec)
    if not target.is_dir():
        _build(config, spec, target)
    described = json.loads((target / "rows.json").read_text())
    kept = set(described["kept"])
    tables = [Table(config.root, name) for name in config.tables]
    rows = [row for table in tables for row in table.rows() if f"{row.table}/{row.image}" in kept]
    samples = [
        Sample(row, frozenset(known), tuple((label, tuple(box)) for label, box in boxes))
        for row, known, boxes in zip(rows, described["known"], described["boxes"], strict=True)
    ]
    images = np.load(target / "images.npy", mmap_mode="r")
    masks = np.load(target / "masks.npy", mmap_mode="r")
    return Cache(images, masks, samples, described["left_out"])


def _key(config: PairsConfig, spec: PreprocessSpec) -> str:
    digest = hashlib.sha256(f"{_VERSION}{spec.model_dump_json()}{sorted(config.licences)}".encode())
    for name in config.tables:
        digest.update((config.root / f"{name}.csv").read_bytes())
        digest.update(_images_digest(config.root, name))
    return digest.hexdigest()[:16]


def _images_digest(root: Path, name: str) -> bytes:
    """Changes when an image does: the tar's content, or names, sizes and times of a folder."""
    if not (root / name).is_dir():
        with (root / f"{name}.tar").open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    files = sorted(path for path in (root / name).rglob("*") if path.is_file())
    facts = [(str(path.relative_to(root)), *_size_and_time(path)) for path in files]
    return hashlib.sha256(json.dumps(facts).encode()).digest()


def _size_and_time(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _build(config: PairsConfig, spec: PreprocessSpec, target: Path) -> None:
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    partial.mkdir(parents=True)
    images, masks, kept, known, boxes = [], [], [], [], []
    left_out: Counter[str] = Counter()
    for table, row in _selected(config, left_out):
        try:
            radiograph = raster.read(table.read(row.image))
            grid, geometry = to_grid(radiograph, spec)
            bits, structures = _mask_bits(table, row, geometry)
        except (InputError, OSError) as error:  # a missing file and a broken mask are OSErrors
            left_out[f"unreadable ({type(error).__name__})"] += 1
            continue
        images.append((grid * 255 + 0.5).astype(np.uint8))
        masks.append(bits)
        kept.append(f"{row.table}/{row.image}")
        known.append(sorted(structures))
        boxes.append(
            [(BOX_SOURCES[n], geometry.box_to_grid(b)) for n, b in row.boxes if n in BOX_SOURCES]
        )
    if not images:
        shutil.rmtree(partial)
        raise ValueError(f"no radiograph was selected; left out: {dict(left_out)}")
    np.save(partial / "images.npy", np.stack(images))
    np.save(partial / "masks.npy", np.stack(masks))
    described = {"kept": kept, "known": known, "boxes": boxes, "left_out": dict(left_out)}
    (partial / "rows.json").write_text(json.dumps(described))
    try:
        partial.rename(target)
    except OSError:  # another run was faster
        shutil.rmtree(partial)


def _selected(config: PairsConfig, left_out: Counter[str]) -> Iterator[tuple[Table, Row]]:
    for name in config.tables:
        table = Table(config.root, name)
        for row in track(table.rows(), f"caching {name}"):
            if row.licence_class not in config.licences:
                left_out[f"licence class {row.licence_class}"] += 1
            elif row.is_lateral:
                left_out["lateral view"] += 1
            else:
                yield table, row


def _mask_bits(table: Table, row: Row, geometry: Geometry) -> tuple[NDArray[np.uint8], set[str]]:
    """Mask bits on the grid, and the structures that are annotated."""
    bits = np.zeros((geometry.size, geometry.size), dtype=np.uint8)
    known: set[str] = set()
    found: dict[str, NDArray[np.uint8]] = {}
    for source, path in row.masks.items():
        if name := MASK_SOURCES.get(source):
            mask = read_mask(table.read(path))
            found[name] = np.maximum(found[name], mask) if name in found else mask
    if row.lung_mask and not {"Left lung", "Right lung"} <= set(found):
        found |= split_lungs(read_mask(table.read(row.lung_mask))) or {}
    for name, mask in found.items():
        inside = _place(mask > 191, geometry) > 0.5
        unsure = _place((mask > 63) & (mask <= 191), geometry) > 0.5
        bits |= inside.astype(np.uint8) << STRUCTURES.index(name) | unsure * np.uint8(IGNORE)
        known.add(name)
    return bits, known


def read_mask(data: bytes) -> NDArray[np.uint8]:
    """Bytes of a PNG -> rows x columns, uint8: 255 inside, 0 outside, 127 not annotated."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("L"))


def split_lungs(mask: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]] | None:
    """One mask of both lungs -> one of each, by connected component.

    The patient's right lung lies on the left of the image. Components are given to a side
    by the centroid's position relative to the two largest ones.

    Returns:
        `Left lung` and `Right lung`, or None where the lungs cannot be told apart: fewer
        than two components, or two that lie one above the other.
    """
    labelled, count = ndimage.label(mask > 191)
    if count < 2:
        return None
    index = np.arange(1, count + 1)
    area = ndimage.sum_labels(np.ones_like(labelled), labelled, index)
    order = np.argsort(area)[::-1]
    if area[order[1]] < 0.15 * area[order[0]]:
        return None
    centres = np.array(ndimage.center_of_mass(mask > 191, labelled, index))[:, 1]
    first, second = sorted(centres[order[:2]])
    if second - first < 0.15 * mask.shape[1]:
        return None
    is_left = centres > (first + second) / 2
    of_left = np.concatenate([[False], is_left])[labelled]
    inside = labelled > 0
    return {
        "Left lung": np.where(inside & of_left, 255, 0).astype(np.uint8),
        "Right lung": np.where(inside & ~of_left, 255, 0).astype(np.uint8),
    }


def _place(mask: NDArray[np.bool_], geometry: Geometry) -> NDArray[np.float32]:
    """A mask placed on the grid as its image was: coverage of each cell, 0 to 1.

    The mask may have another resolution than the image, as long as it covers the same view.
    """
    image = Image.fromarray(mask.astype(np.float32))
    small = image.resize((geometry.width, geometry.height), Image.Resampling.BILINEAR)
    grid = np.zeros((geometry.size, geometry.size), dtype=np.float32)
    rows = slice(geometry.top, geometry.top + geometry.height)
    columns = slice(geometry.left, geometry.left + geometry.width)
    grid[rows, columns] = np.asarray(small)
    return grid
