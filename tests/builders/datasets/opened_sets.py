"""Miniature data sets opened as training and evaluation open them."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radiograph.preprocess import PreprocessSpec, preprocess
from radiograph.readers.read import read
from tests.builders.datasets.tiny_sets import config
from tests.builders.training.runs.tiny_runs import SIZE_PX
from training.config.augmentation import AugmentConfig
from training.config.run import Protocol
from training.data.batches.collate import Batch, load_batch
from training.data.cache.cache import Cache, open_cache
from training.data.catalog import open_reader
from training.data.rows.reader import Reader, Row
from training.evaluation import predictions

SPEC = PreprocessSpec(size_px=SIZE_PX)
_IDENTITY = AugmentConfig(rotate_deg=0, translate=0, scale=0, gamma=0, contrast=0, noise=0)


def file_name(row: Row) -> str:
    """Return the name of the image of a row, without its folder."""
    return row.image.split("/")[-1]


def rows_by_name(root: Path, name: str) -> dict[str, Row]:
    """Return file name -> row."""
    return {file_name(row): row for row in open_reader(root, name).rows()}


def rows(root: Path, name: str, protocol: Protocol) -> list[Row]:
    """Return every row under a protocol."""
    return list(open_reader(root, name, protocol).rows())


def used_rows(root: Path, name: str, protocol: Protocol) -> list[Row]:
    """Return the rows under a protocol that are not left out."""
    return [row for row in rows(root, name, protocol) if not row.reason_left_out]


def images_of(rows: list[Row], split: str) -> set[str]:
    """Return the images of one split."""
    return {row.image for row in rows if row.split == split}


def cached(root: Path, name: str) -> Cache:
    """Build the cache of a data set in `<root>/cache`."""
    return open_cache(config(root, name), SPEC, root / "cache")


def kept(cache: Cache) -> dict[str, tuple[str, str]]:
    """Return file name -> split and text of the cached rows."""
    return {file_name(s.row): (s.row.split, s.row.text) for s in cache.samples}


def left_out(root: Path, name: str) -> dict[str, str]:
    """Return file name -> reason, from the left_out.csv of the cache."""
    with cached(root, name).manifest.open(newline="") as file:
        return {line["image"].split("/")[-1]: line["reason"] for line in csv.DictReader(file)}


def whole_batch(cache: Cache, label: str) -> tuple[list[str], Batch]:
    """Return the file names of a cache and one batch of all its images, for heads of one label."""
    names = [file_name(sample.row) for sample in cache.samples]
    labels = ((label,), (label,), (label,))
    return names, load_batch(cache, range(len(names)), labels, _IDENTITY, 0)


def evaluated(reader: Reader, row: Row) -> tuple[dict[str, NDArray[np.bool_]], dict[str, int]]:
    """Return the masks in source pixels and the number of boxes of each label in evaluation."""
    _, geometry = preprocess(read(reader.read(row.image)), SPEC)
    masks, _ = predictions.true_masks(reader.read, row, geometry)
    boxes = predictions.true_boxes(row, masks)
    return masks, {label: len(found) for label, found in boxes.items()}
