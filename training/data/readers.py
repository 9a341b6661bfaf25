"""Readers of data sets by name: a known data set, or else a radiograph table.

PairsConfig(root, tables=["mimic_cxr_jpg", "covid_cxr"])
    mimic_cxr_jpg  -> mimic_cxr_jpg.MimicCxrJpg
    covid_cxr      -> tables.Table, `<root>/covid_cxr.csv`
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from training.data.chexpert import CheXpert, CheXpertPlus
from training.data.mimic_cxr_dicom import MimicCxrDicom
from training.data.mimic_cxr_jpg import MimicCxrJpg
from training.data.open_i import OpenI
from training.data.padchest import PadChest
from training.data.pairs import Pairs
from training.data.tables import Row, Table


class Reader(Protocol):
    """One data set on disk."""

    def rows(self) -> Iterable[Row]:
        """Every row, in an order that does not change; `left_out` says which take no part."""

    def read(self, path: str) -> bytes:
        """The bytes of an image or a mask of a row; an OSError where they cannot be had."""

    def fingerprint(self) -> bytes:
        """Changes when the data set does, and is had in seconds however large it is."""


READERS: dict[str, Callable[[Path], Reader]] = {
    reader.name: reader
    for reader in (MimicCxrJpg, MimicCxrDicom, CheXpert, CheXpertPlus, OpenI, PadChest, Pairs)
}


def open_reader(root: Path, name: str) -> Reader:
    """The reader of a data set.

    Raises:
        MissingData: a file that it cannot do without is not there.
    """
    return READERS[name](root) if name in READERS else Table(root, name)
