"""Schemas: the shapes of what is asked and answered, as /openapi.json states them.

Answers are written by `service.encoders.json_encoder` without passing through these models; a test
holds the two together. Queries are read by them: an unknown parameter is an error.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from radiograph.manifest import ModelManifest, Task
from radiograph.preprocess import PreprocessSpec
from radiograph.terminology import Code
from service.encoders.json_encoder import HeatmapEncoding
from service.registry.state import State

_TASK = "|".join(Task)

Box = Annotated[
    tuple[float, float, float, float],
    Field(
        description="x0, y0, x1, y1 in source pixels, half-open", examples=[[412, 300, 980, 1710]]
    ),
]
Point = Annotated[tuple[float, float], Field(description="x, y in source pixels")]
Probability = Annotated[float, Field(ge=0, le=1)]
Phrases = Annotated[
    list[str],
    Field(
        default_factory=list,
        description="What to look for, in words; may be repeated, and may travel in the form.",
        examples=[["left lung"], ["right lower lobe opacity", "enlarged heart"]],
    ),
]
Method = Annotated[
    Literal["aligned", "zero_shot"] | None,
    Field(description="Which grounding answers; the version's first unless named."),
]
Heatmap = Annotated[
    HeatmapEncoding,
    Field(description="How heat maps are written in JSON: PNG, numbers, not at all."),
]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelQuery(_Shape):
    """Which version answers."""

    model: Annotated[str | None, Field(description="Name of a model.", examples=["g2d-cxr"])] = None
    version: Annotated[
        str | None,
        Field(description="Number or alias; `stable` unless named.", examples=["stable", "1"]),
    ] = None


class GroundQuery(ModelQuery):
    """Which version answers, and what it looks for."""

    phrase: Phrases
    method: Method = None
    heatmap: Heatmap = "png"


class AnalyzeQuery(GroundQuery):
    """Which version answers which tasks."""

    tasks: Annotated[
        str | None,
        Field(
            pattern=rf"^({_TASK})(,({_TASK}))*$",
            description="Tasks, separated by commas; unless named every one that the version "
            "offers, `ground` only where there is a phrase.",
            examples=["classify,segment", "segment,ground"],
        ),
    ] = None

    def asked(self) -> tuple[Task, ...]:
        """The tasks by name, each once; empty is every one that the version offers."""
        return (
            tuple(dict.fromkeys(Task(name) for name in self.tasks.split(","))) if self.tasks else ()
        )


class ModelRef(_Shape):
    """The version that answered."""

    name: str = Field(examples=["g2d-cxr"])
    version: int
    digest: str = Field(description="SHA-256 of its manifest.", pattern="^[0-9a-f]{64}$")


class ImageFacts(_Shape):
    """The image as it was read."""

    rows: int
    columns: int
    pixel_spacing_mm: tuple[float, float] | None = Field(description="Between rows, columns.")
    photometric_interpretation: str
    view_position: str | None
    sop_instance_uid: str | None


class OutOfDomain(_Shape):
    """How unlike the training images the radiograph is."""

    score: float = Field(description="Mahalanobis distance of the features over sqrt(D).")
    threshold: float
    outside: bool


class WarningNote(_Shape):
    """What a reader of the answer must know."""

    code: str = Field(examples=["out_of_domain"])
    message: str


class FindingAnswer(_Shape):
    """One label of a classification."""

    name: str
    code: Code | None
    probability: Probability
    threshold: Probability
    positive: bool


class RunLengths(_Shape):
    """Uncompressed COCO run lengths: column by column, zeros first, over the source image."""

    encoding: Literal["coco_uncompressed"]
    size: tuple[int, int] = Field(description="Rows, columns.")
    counts: list[int] = Field(description="Their sum is rows * columns.")


class MaskAnswer(_Shape):
    """One structure, pixel by pixel."""

    name: str
    code: Code | None
    rle: RunLengths
    area_px: int
    area_mm2: float | None
    box: Box | None


class BoxAnswer(_Shape):
    """One detection."""

    name: str
    code: Code | None
    score: Probability
    box: Box


class HeatmapAnswer(_Shape):
    """A map over the whole image; stretch it to rows x columns of the source."""

    encoding: Literal["png_gray8_base64", "float_rows", "none"] = Field(
        description="An 8-bit gray PNG in base64 (value / 255), rows of numbers, or nothing."
    )
    rows: int
    columns: int
    range: tuple[float, float]
    data: str | list[list[float]] | None


class PhraseAnswer(_Shape):
    """Where a phrase is in the image."""

    phrase: str
    method: Literal["aligned", "zero_shot"]
    similarity: Probability = Field(description="How likely the phrase is in the image at all.")
    heatmap: HeatmapAnswer
    peak: Point | None
    box: Box | None


class Answer(_Shape):
    """What every answer holds, whatever the task."""

    request_id: str
    model: ModelRef
    preprocessing: PreprocessSpec
    image: ImageFacts
    out_of_domain: OutOfDomain | None
    warnings: list[WarningNote]
    timings_ms: dict[str, float] = Field(description="By stage; `total` is their sum and more.")


class ClassifyAnswer(Answer):
    """Findings with calibrated probabilities."""

    findings: list[FindingAnswer]


class SegmentAnswer(Answer):
    """Masks of structures and findings."""

    masks: list[MaskAnswer]


class DetectAnswer(Answer):
    """Boxes, best first."""

    boxes: list[BoxAnswer]


class GroundAnswer(Answer):
    """One entry for each phrase, in the order asked."""

    phrases: list[PhraseAnswer]


class AnalyzeAnswer(Answer):
    """The tasks that were asked for; the others are left out."""

    findings: list[FindingAnswer] | None = None
    masks: list[MaskAnswer] | None = None
    boxes: list[BoxAnswer] | None = None
    phrases: list[PhraseAnswer] | None = None


class FieldFault(_Shape):
    """One parameter that is not valid."""

    where: str
    message: str


class Problem(_Shape):
    """RFC 9457 problem details."""

    type: str = Field(description="Stable; branch on it.", examples=["urn:g2d:problem:not-ready"])
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldFault] | None = None


class VersionSummary(_Shape):
    """One version that an alias points to."""

    version: int
    state: State
    aliases: list[str] = Field(description="What it answers for.")
    wanted_by: list[str] = Field(
        description="Aliases that point to it while an older version still answers for them."
    )
    digest: str | None
    tasks: list[Task]


class VersionDetail(VersionSummary):
    """One version with its manifest."""

    name: str
    reason: str | None = Field(description="Why it, or what its folder now holds, failed.")
    providers: list[str] = Field(description="What really computes.")
    manifest: ModelManifest | None


class ModelSummary(_Shape):
    """One model with the versions that its aliases point to."""

    name: str
    default: bool = Field(description="Answers when a request names no model.")
    reason: str | None = Field(description="Why its aliases cannot be read.")
    versions: list[VersionSummary]


class ModelList(_Shape):
    """What is loaded."""

    models: list[ModelSummary]


class AliasChange(_Shape):
    """Where an alias shall point."""

    version: Annotated[int, Field(strict=True, ge=1, lt=10**9, examples=[4])]


class AliasState(_Shape):
    """Where an alias points, and what answers for it."""

    name: str
    alias: str
    version: int = Field(description="Where it points in the repository.")
    answering: int | None = Field(description="The version that answers for it here and now.")


class CanaryChange(_Shape):
    """How much the canary shall answer."""

    share: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False, examples=[0.1])]


class CanaryState(_Shape):
    """How much of what names no version the canary answers, while it is ready."""

    name: str
    share: float
    answering: int | None = Field(description="The version that the share goes to.")


class Health(_Shape):
    """The state of the service."""

    status: Literal["live", "ready"]
