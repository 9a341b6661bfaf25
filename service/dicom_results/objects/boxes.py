"""Boxes of a result as the objects show them: those of detections and those of phrases."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radiograph.geometry.geometry import Box
from service.dicom_results.objects import codes
from service.dicom_results.objects.codes import Concept, concept_of
from service.inference.results import AnalysisResult


@dataclass(frozen=True)
class LabelledBox:
    """One box with its label.

    Attributes:
        label: name of the finding or structure, or the phrase.
        concept: its code and side.
        probability: calibrated score of a detection, or presence of a phrase; 0 to 1.
        box: (x0, y0, x1, y1) in source pixels.
    """

    label: str
    concept: Concept
    probability: float
    box: Box

    @property
    def outline(self) -> NDArray[np.float32]:
        """The closed outline, 5 points x (column, row), float32 as SR and GSPS store it."""
        x0, y0, x1, y1 = self.box
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
        return np.asarray(corners, dtype=np.float32)


def boxes_of(result: AnalysisResult) -> tuple[LabelledBox, ...]:
    """Return the boxes of all detections and then of all phrases, in the order of the result."""
    return (*_detected(result), *_located(result))


def _detected(result: AnalysisResult) -> Iterator[LabelledBox]:
    for item in result.detections or ():
        concept = concept_of(item.name, item.code)
        yield LabelledBox(item.name, concept, item.score, item.box)


def _located(result: AnalysisResult) -> Iterator[LabelledBox]:
    for item in result.groundings or ():
        presence = item.presence
        probability = item.similarity if presence is None else presence.probability
        for place in item.boxes:
            yield LabelledBox(item.phrase, Concept(codes.LOCATED_PHRASE), probability, place.box)
