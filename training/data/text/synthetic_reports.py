"""Synthetic reports, made from class labels for rows that have no report.

They are not clinical text. `Report.synthetic` marks each of them, and the model card counts the
rows of a training set that have one.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor

from training.data.rows.reader import Row

_SENTENCES: dict[str, tuple[str, ...]] = {
    "normal": (
        "The lungs are clear. No acute cardiopulmonary abnormality.",
        "Normal chest radiograph.",
        "No focal consolidation, effusion or pneumothorax.",
        "Clear lungs without airspace opacity.",
    ),
    "bacterial": (
        "Airspace opacity consistent with bacterial pneumonia.",
        "Focal consolidation, in keeping with bacterial pneumonia.",
        "Lobar consolidation suggests bacterial pneumonia.",
    ),
    "viral": (
        "Diffuse interstitial opacities consistent with viral pneumonia.",
        "Bilateral perihilar interstitial markings, in keeping with viral pneumonia.",
        "Peribronchial thickening suggests viral pneumonia.",
    ),
    "Atelectasis": ("Atelectasis is present.", "There is volume loss from atelectasis."),
    "Cardiomegaly": ("The heart is enlarged.", "Cardiomegaly."),
    "Consolidation": ("Airspace consolidation.", "There is consolidation of the lung."),
    "Edema": ("Pulmonary edema.", "Vascular congestion and interstitial edema."),
    "Effusion": ("Pleural effusion.", "Blunted costophrenic angle from a pleural effusion."),
    "Emphysema": ("Hyperinflated, emphysematous lungs.", "Emphysema."),
    "Fibrosis": ("Pulmonary fibrosis.", "Reticular opacities from fibrosis."),
    "Hernia": ("Hiatal hernia.",),
    "Infiltration": ("Pulmonary infiltrate.", "There is an infiltrate in the lung."),
    "Mass": ("A mass is seen in the lung.", "Lung mass."),
    "Nodule": ("A pulmonary nodule is seen.", "Lung nodule."),
    "Pleural_Thickening": ("Pleural thickening.",),
    "Pneumonia": ("Findings of pneumonia.", "Opacity consistent with pneumonia."),
    "Pneumothorax": ("Pneumothorax.", "There is a pneumothorax."),
}
_SENTENCES |= {  # labels as CheXpert spells them
    "Enlarged Cardiomediastinum": ("The cardiomediastinal silhouette is enlarged.",),
    "Lung Opacity": ("There is an opacity in the lung.", "Lung opacity."),
    "Lung Lesion": ("There is a lesion in the lung.",),
    "Pleural Effusion": _SENTENCES["Effusion"],
    "Pleural Other": ("Pleural abnormality.",),
    "Fracture": ("There is a fracture.",),
    "Support Devices": ("Support devices are in place.",),
}
_SENTENCES["No Finding"] = _SENTENCES["normal"]
_SEX = {"M": "male", "F": "female"}


@dataclass(frozen=True)
class Report:
    """Text paired with a radiograph.

    Attributes:
        text: input of the text encoder.
        synthetic: True if made from labels, not written by a clinician.
        key: equal for reports that say the same, which are not negatives of each other.
    """

    text: str
    synthetic: bool
    key: str


def report(row: Row, rng: random.Random) -> Report | None:
    """Return the report of a row, or sentences from its labels, or None if it has neither."""
    if row.text:
        return Report(row.text, synthetic=False, key=row.text)
    if row.answers:
        statements = [f"{question} {answer}." for question, answer in row.answers]
        picked = rng.sample(statements, min(3, len(statements)))
        return Report(" ".join(picked), synthetic=False, key=row.image)
    known = [name for name in row.labels if name in _SENTENCES]
    if not known:
        return None
    sentences = [rng.choice(_SENTENCES[name]) for name in known]
    rng.shuffle(sentences)
    return Report(" ".join([*_technique(row, rng), *sentences]), True, "|".join(sorted(known)))


def _technique(row: Row, rng: random.Random) -> list[str]:
    """Return a sentence on projection and patient, for half of the frontal rows."""
    if row.view not in {"PA", "AP"} or rng.random() < 0.5:
        return []
    age = f" of a {row.age} year old {_SEX[row.sex]}" if row.age and row.sex in _SEX else ""
    return [f"{row.view} chest radiograph{age}."]


def text_ids(reports: Sequence[Report]) -> Tensor:
    """Return B int64 identifiers, equal for equal keys in every process and every run."""
    digests = [blake2b(r.key.encode(), digest_size=8).digest() for r in reports]
    return torch.tensor([int.from_bytes(d, signed=True) for d in digests], dtype=torch.int64)
