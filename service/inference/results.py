"""Analysis result: everything that is known about one radiograph, before any output format.

`Analysis` makes it and the encoders read it. Coordinates are source pixels.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from radiograph.manifest import Precision, Task
from radiograph.postprocess.grounding import Grounding
from radiograph.postprocess.heads import Detection, Finding, Mask
from radiograph.postprocess.measurements import Measurement
from radiograph.postprocess.uncertainty import Uncertainty
from radiograph.preprocess import PreprocessSpec
from service.decoding.decode import DisplayedPixels, ImageFacts

_CODED_WARNING = re.compile(r"([a-z][a-z0-9_]*): (.+)", re.DOTALL)


@dataclass(frozen=True)
class ModelIdentity:
    """The version that answered.

    Attributes:
        name, version: model and number.
        digest: SHA-256 of the manifest.
        variant: precision of the trunk that computes. Processes may choose differently, so it is
            no part of the identity.
    """

    name: str
    version: int
    digest: str
    variant: Precision = field(default="float32", compare=False)

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


@dataclass(frozen=True)
class Notice:
    """A warning that belongs to a result; it holds no patient data.

    Attributes:
        code: identifies the warning to programs.
        message: tells a person the same.
    """

    code: str
    message: str

    @classmethod
    def of(cls, text: str) -> "Notice":
        """Read `code: message`; a message alone has the code `image`."""
        coded = _CODED_WARNING.fullmatch(text)
        return cls(coded[1], coded[2]) if coded else cls("image", text)


@dataclass(frozen=True)
class OutOfDistributionScore:
    """Distance of a radiograph from the training images; a typical training image scores 1.

    Attributes:
        score: Mahalanobis distance of its global features, divided by sqrt(D).
        threshold: a radiograph that scores higher is out of the model's distribution.
    """

    score: float
    threshold: float

    @property
    def outside(self) -> bool:
        """True if the model was not made for such an image."""
        return self.score > self.threshold


@dataclass(frozen=True, eq=False)
class AnalysisResult:
    """Result of one request. The field of a task that was not asked for is None.

    Attributes:
        model: the version that answered.
        preprocess: how the pixels became the model's input.
        image: facts about the radiograph beside its pixels.
        warnings: warnings that a reader of the result needs.
        out_of_domain: distance from the training images, or None if the version has no statistics.
        timings_ms: time spent, by stage, in the order of the stages.
        preview: the whole radiograph to draw on, h x w, uint8, 0 black; or None.
        displayed: its pixels for a viewer, or None.
        findings: classified labels.
        masks: segmented structures.
        measurements: numbers that are measured in the masks; None without `masks`.
        detections: boxes, best first.
        groundings: one for each phrase, in the order of the request.
        uncertainty: for each task but measurements, one for each of its results in their order;
            None unless it was asked for.
    """

    model: ModelIdentity
    preprocess: PreprocessSpec
    image: ImageFacts
    warnings: tuple[Notice, ...]
    out_of_domain: OutOfDistributionScore | None
    timings_ms: dict[str, float]
    preview: NDArray[np.uint8] | None = None
    displayed: DisplayedPixels | None = None
    findings: tuple[Finding, ...] | None = None
    masks: tuple[Mask, ...] | None = None
    measurements: tuple[Measurement, ...] | None = None
    detections: tuple[Detection, ...] | None = None
    groundings: tuple[Grounding, ...] | None = None
    uncertainty: Mapping[Task, tuple[Uncertainty, ...]] | None = None
