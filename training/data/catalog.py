"""Readers of data sets by name: a known data set, or else a radiograph table.

PairsConfig(root, tables=["mimic_cxr_jpg", "covid_cxr"])
    mimic_cxr_jpg  -> mimic_cxr_jpg.MimicCxrJpg
    covid_cxr      -> tables.Table, `<root>/covid_cxr.csv`
    rsna           -> rsna.Rsna, with the split and the rows of a protocol
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
from training.data.pretraining_sets.image_text_csv import Pairs
from training.data.pretraining_sets.mimic_cxr_dicom import MimicCxrDicom
from training.data.pretraining_sets.mimic_cxr_jpg import MimicCxrJpg
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
    return READERS[name](root) if name in READERS else RadiographTable(root, name)
