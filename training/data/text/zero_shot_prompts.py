"""Prompts of zero-shot answers: for each finding, wordings of its presence and of its absence.

    wordings of a finding x sentences -> positive and negative prompts

Written for this project, in the words of reports, before any figure was measured with them; no
prompt was chosen by a data set.
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
"""Prompts of each label, by the names of `training.data.rows.labels`."""


@dataclass(frozen=True)
class Prompts:
    """Sentences that say that a finding is there, and that it is not."""

    positive: tuple[str, ...]
    negative: tuple[str, ...]


def prompts_of(finding: str) -> Prompts:
    """The prompts of a finding.

    Raises:
        DataError: there are none.
    """
    if finding not in WORDINGS:
        raise DataError(f"no prompts for {finding!r}; there are for {', '.join(sorted(WORDINGS))}")
    words = WORDINGS[finding]
    return Prompts(
        tuple(sentence.format(word) for word in words for sentence in _PRESENT),
        tuple(sentence.format(word) for word in words for sentence in _ABSENT),
    )
