"""Questions about one radiograph whose answers are known: phrases that it shows or does not show.

anatomy   present in every frontal radiograph, in wordings that were never trained on
findings  present or absent, as the labels of the row say, in their plain wording
foreign   absent from every radiograph, in wordings that were never trained on
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from training.data.rows.reader import Row
from training.data.text.phrases import foreign_phrases
from training.data.text.phrases.unseen_wordings import DEVELOPMENT, HELD_OUT
from training.evaluation.phrases.regions import ORGANS

Group = Literal["anatomy", "findings", "foreign"]
FINDINGS = {
    "pneumonia": ("Pneumonia",),
    "lung opacity": ("Lung opacity",),
    "infiltration": ("Infiltration",),
    "consolidation": ("Consolidation",),
    "atelectasis": ("Atelectasis",),
    "pleural effusion": ("Effusion", "Pleural Effusion"),
    "pulmonary edema": ("Edema",),
    "cardiomegaly": ("Cardiomegaly",),
    "lung mass": ("Mass",),
    "lung nodule": ("Nodule",),
    "pneumothorax": ("Pneumothorax",),
}
"""Phrase -> findings by which its presence is known, the first that the row has."""
_NO_RADIOGRAPH = "Out of domain"
"""Finding of images that are no chest radiographs; nothing is asked about them."""


@dataclass(frozen=True)
class Question:
    """A phrase, and whether one radiograph shows it."""

    text: str
    group: Group
    present: bool


class Questionnaire:
    """The questions for every radiograph of a split.

    Attributes:
        texts: every phrase that may be asked, each once.
    """

    def __init__(self, split: str) -> None:
        """Args: split: `test` has wordings of its own, by which nothing is ever chosen."""
        held: Mapping[str, Sequence[str]] = HELD_OUT if split == "test" else DEVELOPMENT
        foreign = foreign_phrases.TEST if split == "test" else foreign_phrases.VALIDATION
        self._anatomy = tuple(text for concept in ORGANS for text in held[concept])
        self._foreign = (*held["absent"], *foreign)
        self.texts = (*self._anatomy, *FINDINGS, *self._foreign)

    def about(self, row: Row) -> list[Question]:
        """Return the questions about one row; none if it is no chest radiograph."""
        if row.findings.get(_NO_RADIOGRAPH):
            return []
        known = {
            text: next((row.findings[name] for name in names if name in row.findings), None)
            for text, names in FINDINGS.items()
        }
        return [
            *(Question(text, "anatomy", present=True) for text in self._anatomy),
            *(
                Question(text, "findings", present=shown)
                for text, shown in known.items()
                if shown is not None
            ),
            *(Question(text, "foreign", present=False) for text in self._foreign),
        ]
