"""Catalog of data sets: name -> reader. An unknown name is that of a radiograph table.

    mimic_cxr_jpg  -> mimic_cxr.MimicCxrJpg
    rsna           -> rsna.Rsna, with the split and the rows of a protocol
    covid_cxr      -> radiograph_table.RadiographTable, `<root>/covid_cxr.csv`

A new data set needs a reader in `pretraining_sets` or `downstream_sets`, and its entry and its
title here.
"""

from collections.abc import Callable
from pathlib import Path

from training.config.run import Protocol
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
from training.data.rows.radiograph_table import RadiographTable
from training.data.rows.reader import Reader

TITLES = {
    "kermany_224": "Kermany chest X-rays of children",
    "nih_subset": "NIH ChestX-ray14, subset",
    "covid_cxr": "COVID-19 image collection",
    "vqa_rad_chest": "VQA-RAD, chest",
    "mimic_cxr_jpg": "MIMIC-CXR-JPG",
    "mimic_cxr_dicom": "MIMIC-CXR",
    "chexpert": "CheXpert",
    "chexpert_plus": "CheXpert Plus",
    "open_i": "Open-i, Indiana University chest X-rays",
    "padchest": "PadChest",
    "rsna": "RSNA Pneumonia Detection Challenge",
    "siim": "SIIM-ACR Pneumothorax Segmentation",
    "covidx": "COVIDx CXR",
    "cxr14": "NIH ChestX-ray14",
    "object_cxr": "Object-CXR",
    "chexpert_competition": "CheXpert, five competition labels",
}
"""Titles of the data sets, as model cards and tables show them."""
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


def open_reader(root: Path, name: str, protocol: Protocol = "sound") -> Reader:
    """Open the reader of a data set.

    Args:
        root: folder of the data sets.
        name: name of this one.
        protocol: split and rows of a downstream data set; other sets have only one.

    Raises:
        MissingData: a required file is missing.
    """
    if name in DOWNSTREAM:
        return DOWNSTREAM[name](root, protocol)
    return READERS[name](root) if name in READERS else RadiographTable(root, name)
