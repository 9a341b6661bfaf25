"""AnalysisResult: everything that is known about one radiograph, before any format.

Analysis makes it, the encoders read it. Coordinates are source pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radiograph.postprocess.heads import Detection, Finding, Grounding, Mask
from radiograph.preprocess import PreprocessSpec
from service.decoding.decode import ImageFacts


@dataclass(frozen=True)
class ModelIdentity:
    """Which version answered. The digest is the SHA-256 of its manifest."""

    name: str
    version: int
    digest: str

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


@dataclass(frozen=True)
class Notice:
    """A warning: `code` for programs, `message` for people. No patient data in either."""

    code: str
    message: str


@dataclass(frozen=True)
class DomainScore:
    """How unlike the training images the radiograph is; 1 is a typical training image.

    Attributes:
        score: Mahalanobis distance of its global features divided by sqrt(D).
        threshold: above it the radiograph is out of the model's domain.
    """

    score: float
    threshold: float

    @property
    def outside(self) -> bool:
        """Whether the model was not made for such an image."""
        return self.score > self.threshold


@dataclass(frozen=True, eq=False)
class AnalysisResult:
    """The answer to one request. A task that was not asked for is None.

    Attributes:
        model: the version that answered.
        preprocess: how pixels became its input.
        image: what is known of the radiograph beside its pixels.
        warnings: what a reader of the answer must know.
        out_of_domain: the score, or None when the version has no statistics.
        timings_ms: time spent, by stage, in the order the stages ran.
        preview: the whole radiograph as a picture, h x w, uint8, for an overlay, or None.
    """

    model: ModelIdentity
    preprocess: PreprocessSpec
    image: ImageFacts
    warnings: tuple[Notice, ...]
    out_of_domain: DomainScore | None
    timings_ms: dict[str, float]
    preview: NDArray[np.uint8] | None = None
    findings: tuple[Finding, ...] | None = None
    masks: tuple[Mask, ...] | None = None
    detections: tuple[Detection, ...] | None = None
    groundings: tuple[Grounding, ...] | None = None
