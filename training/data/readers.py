"""Readers of data sets by name: a known data set, or else a radiograph table.

PairsConfig(root, tables=["mimic_cxr_jpg", "covid_cxr"])
    mimic_cxr_jpg  -> mimic_cxr_jpg.MimicCxrJpg
    covid_cxr      -> tables.Table, `<root>/covid_cxr.csv`
    rsna           -> rsna.Rsna, with the split and the rows of a protocol
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol as Interface

from training.data.chexpert import CheXpert, CheXpertPlus
from training.data.chexpert_competition import CheXpertCompetition
from training.data.covidx import Covidx
from training.data.cxr14 import Cxr14
from training.data.mimic_cxr_dicom import MimicCxrDicom
from training.data.mimic_cxr_jpg import MimicCxrJpg
from training.data.object_cxr import ObjectCxr
from training.data.open_i import OpenI
from training.data.padchest import PadChest
from training.data.pairs import Pairs
from training.data.rsna import Rsna
from training.data.siim import Siim
from training.data.splits import Protocol
from training.data.tables import Row, Table


class Reader(Interface):
    """One data set on disk."""

    def rows(self) -> Iterable[Row]:
        """Every row, in an order that does not change; `left_out` says which take no part."""

    def read(self, path: str) -> bytes:
        """The bytes of an image or a mask of a row; an OSError where they cannot be had."""

    def fingerprint(self) -> bytes:
        """Changes when the data set does, and is had in seconds however large it is."""


_WITH_REPORTS = (MimicCxrJpg, MimicCxrDicom, CheXpert, CheXpertPlus, OpenI, PadChest, Pairs)
_WITH_PROTOCOLS = (Rsna, Siim, Covidx, Cxr14, ObjectCxr, CheXpertCompetition)
DOWNSTREAM: dict[str, Callable[[Path, Protocol], Reader]] = {r.name: r for r in _WITH_PROTOCOLS}
"""Data sets with labels, masks or boxes, of which there is a published split and ours."""
READERS: dict[str, Callable[[Path], Reader]] = {
    reader.name: reader for reader in (*_WITH_REPORTS, *_WITH_PROTOCOLS)
}


def open_reader(root: Path, name: str, protocol: Protocol = "sound") -> Reader:
    """The reader of a data set.

    Args:
        root: of the data sets.
        name: of this one.
        protocol: the split and the rows of a downstream data set; others have but one.

    Raises:
        MissingData: a file that it cannot do without is not there.
    """
    if name in DOWNSTREAM:
        return DOWNSTREAM[name](root, protocol)
    return READERS[name](root) if name in READERS else Table(root, name)
