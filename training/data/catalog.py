"""Catalog of data sets: name -> reader. An unknown name is that of a radiograph table.

    mimic_cxr_jpg  -> mimic_cxr.MimicCxrJpg
    rsna           -> rsna.Rsna, with the split and the rows of a protocol
    covid_cxr      -> radiograph_table.RadiographTable, `<root>/covid_cxr.csv`

A new data set needs a reader in `pretraining_sets` or `downstream_sets`, its entry here, and its
description in `descriptions`.
"""

from collections.abc import Callable
from pathlib import Path

from training.config.description import Description
from training.config.run import DataConfig, Protocol
from training.data.downstream_sets.chexpert_competition import CheXpertCompetition
from training.data.downstream_sets.covidx import Covidx
from training.data.downstream_sets.cxr14 import Cxr14
from training.data.downstream_sets.object_cxr import ObjectCxr
from training.data.downstream_sets.rsna import Rsna
from training.data.downstream_sets.siim import Siim
from training.data.pretraining_sets.chexpert import CheXpert, CheXpertPlus
from training.data.pretraining_sets.image_text_csv import ImageTextCsv
from training.data.pretraining_sets.mimic_cxr import MimicCxrDicom, MimicCxrJpg
from training.data.pretraining_sets.open_i import OpenI
from training.data.pretraining_sets.padchest import PadChest
from training.data.rows.reader import Reader
from training.data.tables.described import Described, description_of
from training.data.tables.radiograph_table import RadiographTable

_PRETRAINING_SETS = (
    MimicCxrJpg,
    MimicCxrDicom,
    CheXpert,
    CheXpertPlus,
    OpenI,
    PadChest,
    ImageTextCsv,
)
_DOWNSTREAM_SETS = (Rsna, Siim, Covidx, Cxr14, ObjectCxr, CheXpertCompetition)
DOWNSTREAM: dict[str, Callable[[Path, Protocol], Reader]] = {r.name: r for r in _DOWNSTREAM_SETS}
"""Data sets with labels, masks or boxes, which have a published split besides ours."""
READERS: dict[str, Callable[[Path], Reader]] = {
    reader.name: reader for reader in (*_PRETRAINING_SETS, *_DOWNSTREAM_SETS)
}
"""Every public data set that has a reader."""


def open_reader(
    root: Path, name: str, protocol: Protocol = "sound", description: Description | None = None
) -> Described:
    """Open the reader of a data set.

    Args:
        root: folder of the data sets.
        name: name of this one.
        protocol: split and rows of a downstream data set; other sets have only one.
        description: its description; None finds it (`rows.described.description_of`).

    Raises:
        MissingData: a required file is missing.
        DataError: the description is invalid.
    """
    reader: Reader
    if name in DOWNSTREAM:
        reader = DOWNSTREAM[name](root, protocol)
    else:
        reader = READERS[name](root) if name in READERS else RadiographTable(root, name)
    return Described(reader, description or description_of(root, name), root)


def open_table(config: DataConfig, name: str) -> Described:
    """Open the reader of a data set of a run, with the description that the run gives it.

    Raises:
        MissingData: a required file is missing.
        DataError: the description is invalid.
    """
    return open_reader(config.root, name, config.protocol, config.descriptions.get(name))


def title_of(config: DataConfig, name: str) -> str:
    """Return the title of a data set, as model cards show it; its name if it has none."""
    given = config.descriptions.get(name)
    return (given or description_of(config.root, name)).title or name
