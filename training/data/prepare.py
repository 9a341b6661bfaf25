"""Check of a data set before training: completeness, and split sizes against the paper.

    name, root, protocol --reader--> rows --counted by split--> one line for each split

Rows are counted before any image is read; the cache later reports images that cannot be read.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from radiograph.preprocess import PreprocessSpec
from training.config.files import CONFIGS, describe_error
from training.config.run import DataConfig, Protocol
from training.data.catalog import READERS, open_table
from training.refusal import RunRefused

SPLITS = ("train", "valid", "test")
PUBLISHED: dict[str, tuple[int, int, int]] = {
    "chexpert_competition": (186_027, 5_000, 202),
    "rsna": (16_010, 5_337, 5_337),
    "covidx": (23_988, 5_998, 400),
    "cxr14": (77_872, 8_652, 25_596),
    "siim": (8_433, 1_807, 1_807),
    "object_cxr": (6_400, 1_600, 1_000),
}
"""Radiographs for training, validation and test, as published by the G2D and MGCA papers."""


def data_set(name: str, root: Path | None, protocol: Protocol) -> DataConfig:
    """Return the selection of every row of one data set, of any licence class.

    Raises:
        RunRefused: the name is unknown, or no root is given.
    """
    if root is None:
        shipped = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.yaml")))
        known = ", ".join(sorted(READERS))
        raise RunRefused(
            f"say where {name} is: g2d prepare {name} --data FOLDER"
            if name in READERS
            else f"no configuration {name}; shipped are: {shipped}; data sets are: {known}"
        )
    return DataConfig(
        root=root, tables=(name,), licences=("open", "noncommercial"), protocol=protocol
    )


def preprocessing(size: int) -> PreprocessSpec:
    """Return the default preprocessing at another size.

    Raises:
        RunRefused: the size is not a multiple of 32.
    """
    try:
        return PreprocessSpec(size_px=size)
    except ValidationError as error:
        raise RunRefused(f"--size {size}: {describe_error(error)}") from error


def compared_with_paper(config: DataConfig) -> Iterator[str]:
    """Yield one line for each split of a data set that compares its size with the paper's.

    Raises:
        MissingData: the data set is incomplete; the message names all missing parts.
    """
    (name,) = config.tables
    reader = open_table(config, name)
    counts = Counter(row.split for row in reader.rows() if not row.reason_left_out)
    for split, paper in zip(SPLITS, PUBLISHED.get(name, (None,) * 3), strict=True):
        line = f"{name}, protocol {config.protocol}, {split}: {counts[split]} listed"
        if paper is not None:
            verdict = "equal" if counts[split] == paper else "differs"
            line += f", {paper} in the paper: {verdict}"
        yield line
