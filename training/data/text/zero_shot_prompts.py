"""Prompts of zero-shot classification, which state the presence and the absence of a finding.

    wordings of a finding x sentences -> positive and negative prompts

The prompts were written for this project in the language of reports, before anything was measured
with them; none was selected on a data set.
"""

from dataclasses import dataclass

from training.data.rows.dataset_files import DataError

_PRESENT = (
    "{}",
    "there is {}",
    "findings are consistent with {}",
    "the radiograph shows {}",
    "{} is seen",
)
_ABSENT = (
    "no {}",
    "there is no {}",
    "no evidence of {}",
    "the radiograph shows no {}",
    "{} is not seen",
)
_EFFUSION = ("pleural effusion", "fluid in the pleural space", "blunting of the costophrenic angle")
WORDINGS: dict[str, tuple[str, ...]] = {
    "Atelectasis": ("atelectasis", "volume loss of the lung", "collapse of a part of the lung"),
    "Cardiomegaly": ("cardiomegaly", "enlargement of the heart", "enlarged cardiac silhouette"),
    "Consolidation": ("consolidation", "airspace consolidation", "focal consolidation of the lung"),
    "Edema": ("pulmonary edema", "interstitial edema", "pulmonary vascular congestion"),
    "Effusion": _EFFUSION,
    "Emphysema": ("emphysema", "hyperinflation of the lungs", "emphysematous change"),
    "Fibrosis": ("pulmonary fibrosis", "fibrotic scarring of the lung", "fibrotic change"),
    "Foreign object": ("foreign object", "foreign body", "metallic object on the chest"),
    "Hernia": ("hiatal hernia", "diaphragmatic hernia", "herniation of the stomach"),
    "Infiltration": ("infiltrate", "pulmonary infiltration", "patchy infiltrates of the lung"),
    "Mass": ("lung mass", "pulmonary mass", "large mass in the lung"),
    "Nodule": ("pulmonary nodule", "lung nodule", "small nodule in the lung"),
    "Pleural Effusion": _EFFUSION,
    "Pleural_Thickening": ("pleural thickening", "thickening of the pleura", "pleural scarring"),
    "Pneumonia": ("pneumonia", "lung opacity of an infection", "opacity suspicious of pneumonia"),
    "Pneumothorax": ("pneumothorax", "air in the pleural space", "collapsed lung with pleural air"),
}
"""Finding, as in `training/data/descriptions/` -> wordings."""


@dataclass(frozen=True)
class Prompts:
    """Sentences that state the presence and the absence of a finding."""

    positive: tuple[str, ...]
    negative: tuple[str, ...]


def prompts_of(finding: str) -> Prompts:
    """Return the prompts of a finding.

    Raises:
        DataError: the finding has no prompts.
    """
    if finding not in WORDINGS:
        raise DataError(f"no prompts for {finding!r}; there are for {', '.join(sorted(WORDINGS))}")
    words = WORDINGS[finding]
    return Prompts(
        tuple(sentence.format(word) for word in words for sentence in _PRESENT),
        tuple(sentence.format(word) for word in words for sentence in _ABSENT),
    )
