"""A data set by its name: whether it is whole, and whether its splits are those of the paper.

    rsna, --data, --protocol --reader--> rows --counted by split--> beside the paper's

Rows are counted before any image is read: what cannot be read is then told by the cache.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from radiograph.preprocess import PreprocessSpec
from training.config.files import CONFIGS
from training.config.run import PairsConfig, Protocol
from training.data.catalog import READERS, open_reader
from training.data.rows.dataset_files import MissingData

SPLITS = ("train", "valid", "test")
PUBLISHED: dict[str, tuple[int, int, int]] = {
    "chexpert_competition": (186_027, 5_000, 202),
    "rsna": (16_010, 5_337, 5_337),
    "covidx": (23_988, 5_998, 400),
    "cxr14": (77_872, 8_652, 25_596),
    "siim": (8_433, 1_807, 1_807),
    "object_cxr": (6_400, 1_600, 1_000),
}
"""Radiographs for training, validation and test, as the G2D paper and MGCA's give them."""


def data_set(name: str, root: Path | None, protocol: Protocol) -> PairsConfig:
    """Every row of one data set, whatever its licence class.

    Raises:
        MissingData: no data set is known by that name, or nothing says where it is.
    """
    if root is None:
        shipped = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.yaml")))
        known = ", ".join(sorted(READERS))
        raise MissingData(
            f"say where {name} is: g2d prepare {name} --data FOLDER"
            if name in READERS
            else f"no configuration {name}; shipped are: {shipped}; data sets are: {known}"
        )
    return PairsConfig(
        root=root, tables=(name,), licences=("open", "noncommercial"), protocol=protocol
    )


def preprocessing(size: int) -> PreprocessSpec:
    """The usual preprocessing at another size.

    Raises:
        ValueError: not a multiple of 32.
    """
    return PreprocessSpec(size_px=size)


def compared_with_paper(config: PairsConfig) -> Iterator[str]:
    """One line for each split of a data set: its rows, the paper's, and whether they are equal.

    Raises:
        MissingData: parts of the data set are not there; the message names all of them.
    """
    (name,) = config.tables
    reader = open_reader(config.root, name, config.protocol)
    counted = Counter(row.split for row in reader.rows() if not row.reason_left_out)
    for split, paper in zip(SPLITS, PUBLISHED.get(name, (None,) * 3), strict=True):
        line = f"{name}, protocol {config.protocol}, {split}: {counted[split]} listed"
        if paper is not None:
            verdict = "equal" if counted[split] == paper else "differs"
            line += f", {paper} in the paper: {verdict}"
        yield line
