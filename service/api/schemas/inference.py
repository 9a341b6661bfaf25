"""Schemas of answers about one radiograph.

`service.encoders.json_encoder` writes answers without these models; a test holds the two together.
"""

from typing import Annotated, Literal

from pydantic import Field

from radiograph.image import Laterality
from radiograph.manifest import Precision
from radiograph.preprocess import PreprocessSpec
from radiograph.strict_model import StrictModel
from radiograph.terminology.codes import Code

Box = Annotated[
    tuple[float, float, float, float],
    Field(
        description="x0, y0, x1, y1 in source pixels, half-open", examples=[[412, 300, 980, 1710]]
    ),
]
Point = Annotated[tuple[float, float], Field(description="x, y in source pixels")]
Probability = Annotated[float, Field(ge=0, le=1)]


class ModelRef(StrictModel):
    """The version that answered."""

    name: str = Field(examples=["g2d-cxr"])
    version: int
    digest: str = Field(description="SHA-256 of its manifest.", pattern="^[0-9a-f]{64}$")


class AnsweringModel(ModelRef):
    """The version that answered, and its graphs."""

    variant: Precision = Field(description="Precision in which the trunk computed.")


Turned = Literal[
    "none",
    "mirrored",
    "rotated_180",
    "flipped",
    "transposed",
    "rotated_90",
    "transversed",
    "rotated_270",
]

SideEvidence = Annotated[
    Laterality | None,
    Field(
        description="Evidence for the side in the name: `asserted` by the header, `assumed` as "
        "radiographs are usually displayed, `unknown`; null if the name states no side."
    ),
]


class ImageFacts(StrictModel):
    """Properties of the image as it was read."""

    rows: int
    columns: int
    pixel_spacing_mm: tuple[float, float] | None = Field(
        description="Distance between rows, and between columns."
    )
    photometric_interpretation: str
    view_position: str | None
    sop_instance_uid: str | None
    turned: Turned = Field(
        description="How the stored pixels were turned upright for the model, rotations clockwise; "
        "results are in stored pixels."
    )
    laterality: Laterality


class OutOfDomain(StrictModel):
    """Distance of the radiograph from the training images."""

    score: float = Field(description="Mahalanobis distance of the features over sqrt(D).")
    threshold: float
    outside: bool


class WarningNote(StrictModel):
    """Something that readers of the answer must know."""

    code: str = Field(examples=["out_of_domain"])
    message: str


class UncertaintyAnswer(StrictModel):
    """How far a result holds in views of the image that were changed in harmless ways."""

    method: Literal["tta"]
    views: int = Field(description="Number of views, without the image as it is.")
    agreement: Probability = Field(
        description="1 if every view agrees. Findings and phrases: share of the views with the "
        "same decision (and the peak in one of the boxes). Masks: mean Dice with those of the "
        "views. Boxes: share of the views with a box of this label that overlaps by an IoU of 0.5."
    )
    low: Probability | None = Field(description="Lowest probability over image and views.")
    high: Probability | None = Field(description="Highest probability over image and views.")


Uncertain = Annotated[
    UncertaintyAnswer | None,
    Field(description="With `uncertainty=tta` only.", exclude_if=lambda value: value is None),
]


class FindingAnswer(StrictModel):
    """One label of a classification."""

    name: str
    code: Code | None
    probability: Probability
    threshold: Probability
    positive: bool = Field(
        description="`probability` reaches `threshold`; of a subtype, its finding is positive too."
    )
    subtype_of: str | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="Finding that this is a subtype of; absent if it is none.",
        examples=["Pneumonia"],
    )
    uncertainty: Uncertain = None


class RunLengths(StrictModel):
    """COCO run lengths: column by column, zeros first, over the source image."""

    encoding: Literal["coco_uncompressed", "coco_compressed"]
    size: tuple[int, int] = Field(description="Rows, columns.")
    counts: list[int] | str = Field(
        description="Run lengths, whose sum is rows * columns; or COCO's compressed text of them."
    )


class MaskAnswer(StrictModel):
    """Mask of one structure."""

    name: str
    code: Code | None
    laterality: SideEvidence
    rle: RunLengths
    area_px: int
    area_mm2: float | None
    box: Box | None
    uncertainty: Uncertain = None


class MeasurementAnswer(StrictModel):
    """One number that is measured in the masks."""

    name: str = Field(examples=["Cardiothoracic ratio"])
    code: Code | None
    value: float
    unit: str = Field(description="Unit in UCUM; `1` for a ratio.", examples=["1"])
    warnings: list[WarningNote] = Field(description="Reasons for caution with this value.")


class BoxAnswer(StrictModel):
    """One detection."""

    name: str
    code: Code | None
    laterality: SideEvidence
    score: Probability
    box: Box
    uncertainty: Uncertain = None


class HeatmapAnswer(StrictModel):
    """A map over the whole image; stretch it to rows x columns of the source."""

    encoding: Literal["png_gray8_base64", "float_rows", "none"] = Field(
        description="An 8-bit gray PNG in base64 (value / 255), rows of numbers, or none."
    )
    rows: int
    columns: int
    range: tuple[float, float]
    data: str | list[list[float]] | None


class PhraseBoxAnswer(StrictModel):
    """One place of a phrase."""

    box: Box
    score: Probability = Field(description="Highest value of the heat map in the box.")


class PhraseAnswer(StrictModel):
    """Location of a phrase in the image."""

    phrase: str
    laterality: SideEvidence
    method: Literal["aligned", "zero_shot"]
    similarity: Probability = Field(
        description="Probability that the phrase is in the image, as the head says it."
    )
    presence: Probability | None = Field(
        description="The same, calibrated; null if the version has no threshold of presence."
    )
    threshold: Probability | None = Field(description="Lowest `presence` that counts as found.")
    found: bool | None = Field(
        description="True if the image shows the phrase; false: no peak and no box. Null if the "
        "version does not decide."
    )
    heatmap: HeatmapAnswer
    peak: Point | None
    box: Box | None = Field(description="The first of `boxes`.")
    boxes: list[PhraseBoxAnswer] = Field(description="Places of the phrase, best first.")
    uncertainty: Uncertain = None


class Answer(StrictModel):
    """Fields of every answer, whatever the task."""

    request_id: str
    model: AnsweringModel
    preprocessing: PreprocessSpec
    image: ImageFacts
    out_of_domain: OutOfDomain | None
    warnings: list[WarningNote]
    timings_ms: dict[str, float] = Field(
        description="Milliseconds by stage; `total` also includes the time between stages."
    )


class ClassifyAnswer(Answer):
    """Findings with calibrated probabilities."""

    findings: list[FindingAnswer]


class SegmentAnswer(Answer):
    """Masks of structures and findings, and what is measured in them."""

    masks: list[MaskAnswer]
    measurements: list[MeasurementAnswer] = Field(
        description="Measurements that the masks, the view and the orientation allow."
    )


class DetectAnswer(Answer):
    """Boxes, best first."""

    boxes: list[BoxAnswer]


class GroundAnswer(Answer):
    """One entry for each phrase, in the order of the query."""

    phrases: list[PhraseAnswer]


class AnalyzeAnswer(Answer):
    """Answers to the requested tasks; those of other tasks are left out."""

    findings: list[FindingAnswer] | None = None
    masks: list[MaskAnswer] | None = None
    measurements: list[MeasurementAnswer] | None = None
    boxes: list[BoxAnswer] | None = None
    phrases: list[PhraseAnswer] | None = None
