"""Manifest of a model version: its parts and parameters, and the digest of every file.

    models/<name>/<n>/
      manifest.json   this schema; its SHA-256 is the digest of the version
      trunk.onnx      image -> feature maps and embeddings
      text.onnx tokenizer.json   token ids -> phrase features
      heads/*.onnx    trunk features (and phrase features) -> one task's raw output
      golden.npz      inputs and outputs, replayed at load
      golden_answers.npz   a radiograph and the answers to it, replayed at load
      trunk_int8.onnx golden_int8.npz     a variant: the trunk in another precision
      statistics.npz  distribution of the global features over the training images
      MODEL_CARD.md

The schema is strict: an unknown key, a file without a digest, or a head that reads a feature that
the trunk does not produce is an error when the manifest is read, not when the version serves.
"""

from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from radiograph.errors import InvalidVersion
from radiograph.preprocess import PreprocessSpec
from radiograph.strict_model import StrictModel
from radiograph.terminology.checks import CHECKS
from radiograph.terminology.codes import Code
from radiograph.terminology.label_names import LabelName

MANIFEST_NAME = "manifest.json"

Precision = Literal["float32", "float16", "int8"]
"""Precision in which the trunk computes; every version has `float32`."""


class Task(StrEnum):
    """Task that can be requested for a radiograph; most heads answer one."""

    CLASSIFY = "classify"
    SEGMENT = "segment"
    DETECT = "detect"
    GROUND = "ground"


CHECK: Final = "check"
HeadKind = Task | Literal["check"]
"""Task that a head answers, or `check`: its outputs become warnings of every answer."""


def _inside_the_version(path: str) -> str:
    """Accept a relative path that does not leave the folder of the version."""
    pure = PurePosixPath(path)
    if not path or "\\" in path or pure.is_absolute() or {"..", "."} & set(path.split("/")):
        raise ValueError(f"not a path inside the folder of the version: {path!r}")
    return str(pure)


RelativePath = Annotated[str, AfterValidator(_inside_the_version)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ModelName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class MaskCleaning(StrictModel):
    """Removal of islands and holes from the mask of one structure, on the grid of the head.

    Holes are filled first. Then those components remain whose area is at least `min_share` of the
    largest one's, at most `largest` of them. Areas are numbers of cells. Cells are connected by
    their edges, in the mask and in its background; cells that touch by a corner only are not.
    """

    largest: int | None = Field(default=None, ge=1)
    """Largest number of components, the largest ones; null keeps any number."""
    min_share: float = Field(default=0, ge=0, le=1)
    """Smallest area of a component, as a share of the area of the largest one."""
    fill_holes: bool = False
    """Add every part of the background that does not reach the border of the image."""

    @model_validator(mode="after")
    def _changes_something(self) -> "MaskCleaning":
        if self.largest is None and not self.min_share and not self.fill_holes:
            raise ValueError("a cleaning needs `largest`, `min_share` or `fill_holes`")
        return self


class Label(StrictModel):
    """One output channel of a head, and the interpretation of its score."""

    name: LabelName
    code: Code | None = None
    threshold: float = Field(default=0.5, ge=0, le=1)
    """Lowest calibrated probability that counts as positive."""
    clean: MaskCleaning | None = Field(default=None, exclude_if=lambda value: value is None)
    """Cleaning of the mask; `segment` only. None, the default, leaves the mask as it is."""
    subtype_of: LabelName | None = Field(default=None, exclude_if=lambda value: value is None)
    """Label of the same head of which it is a subtype, and without which it is never positive."""

    @property
    def withheld(self) -> bool:
        """True if the threshold is 1, so that no finding, mask or box of the label is returned.

        Calibration sets it where the label is too poor on the validation split.
        """
        return self.threshold >= 1


class PhraseRule(StrictModel):
    """Decision of a `ground` head on a phrase, chosen on the validation split.

    The probability that the image shows a phrase is sigmoid(scale * presence + offset) of the raw
    output `presence`. Boxes are drawn around connected cells of the heat map, which is
    sigmoid(logits / temperature).
    """

    scale: float = Field(gt=0, le=1000)
    offset: float = Field(ge=-1000, le=1000)
    threshold: float = Field(ge=0, le=1)
    """Lowest probability at which a phrase counts as found."""
    box_threshold: float = Field(gt=0, lt=1)
    """Lowest value of a cell of the heat map in a box."""
    max_boxes: int = Field(default=10, ge=1, le=100)
    """Largest number of boxes of one phrase, those with the highest values."""


class HeadSpec(StrictModel):
    """One head: its graph, its inputs, and the parameters that turn raw outputs into results.

    Raw outputs by kind, float32, for B images, P phrases, K labels and a grid of h x w cells:
        classify: `logits`, B x K
        check:    `logits`, B x K; the labels are those of `radiograph.terminology.checks.Check`
        segment:  `logits`, B x K x h x w
        detect:   if the form is `grid`, `logits`, B x K x h x w, and `distances`,
                  B x K x 4 x h x w: from the centre of the cell to the left, top, right and
                  bottom edge of the box, as fractions of the side of the square;
                  if the form is `candidates`, `logits`, B x K x N, and `boxes`, B x N x 4:
                  x0, y0, x1, y1 as fractions of the side, common to all labels
        ground:   `logits`, B x P x h x w, the similarity of each cell with each phrase, and
                  `presence`, B x P, one logit for the phrase applying to the image at all
    """

    kind: HeadKind
    file: RelativePath
    inputs: tuple[str, ...]
    """Names of the trunk outputs it reads; a `ground` head also reads `phrase_features`, P x D."""
    labels: tuple[Label, ...] = ()
    method: str | None = None
    """`zero_shot` (trained without regions) or `aligned` (trained on regions); `ground` only."""
    phrase_rule: PhraseRule | None = Field(default=None, exclude_if=lambda value: value is None)
    """Decision on phrases; `ground` only. Without it no phrase is said to be found or not."""
    temperature: float = Field(default=1.0, ge=0.001, le=1000)
    """Divisor of the logits before the sigmoid, fitted on the validation split."""
    form: Literal["grid", "candidates"] = Field(default="grid", exclude_if=lambda v: v == "grid")
    """Form of the raw outputs; `detect` only. `grid` is omitted, as in older manifests."""
    nms_iou: float = Field(default=0.5, gt=0, le=1)
    """IoU above which the lower of two boxes of one label is dropped; `detect` only."""
    threshold_rule: str = "0.5, not tuned"
    """Description of how the thresholds were chosen."""

    @model_validator(mode="after")
    def _labels_fit_the_kind(self) -> "HeadSpec":
        if (self.kind is Task.GROUND) != (self.method is not None):
            raise ValueError("a ground head, and only a ground head, has a method")
        if self.kind is not Task.GROUND and self.phrase_rule is not None:
            raise ValueError("only a ground head can have a phrase rule")
        if (self.kind is Task.GROUND) == bool(self.labels):
            raise ValueError("every head but a ground head has labels")
        if self.form != "grid" and self.kind is not Task.DETECT:
            raise ValueError("only a detect head can have the form candidates")
        if self.kind == CHECK and {label.name for label in self.labels} - set(CHECKS):
            raise ValueError(f"the labels of a check head are {', '.join(CHECKS)}")
        if self.kind is not Task.SEGMENT and any(label.clean for label in self.labels):
            raise ValueError("only the labels of a segment head can have `clean`")
        return self

    @model_validator(mode="after")
    def _subtypes_have_a_supertype(self) -> "HeadSpec":
        subtypes = {label.name: label.subtype_of for label in self.labels if label.subtype_of}
        if subtypes and self.kind is not Task.CLASSIFY:
            raise ValueError("only the labels of a classify head can have `subtype_of`")
        names = [label.name for label in self.labels]
        for name, supertype in subtypes.items():
            if names.count(supertype) != 1 or supertype in subtypes:
                raise ValueError(f"{name}: `subtype_of` must be one other label, no subtype")
        return self

    @property
    def outputs(self) -> frozenset[str]:
        """Names of the raw outputs from which results are computed."""
        if self.kind is Task.DETECT:
            return frozenset({"logits", "boxes" if self.form == "candidates" else "distances"})
        return frozenset({"logits", "presence"} if self.kind is Task.GROUND else {"logits"})


class TrunkSpec(StrictModel):
    """Image encoder: `image` (B x 1 x size x size, float32) -> named features."""

    file: RelativePath
    outputs: tuple[str, ...]
    """Names of the features that heads may read, among them `global_features` (B x D)."""

    @model_validator(mode="after")
    def _has_global_features(self) -> "TrunkSpec":
        if "global_features" not in self.outputs:
            raise ValueError("the trunk must produce `global_features`")
        return self


class TextSpec(StrictModel):
    """Text encoder: `input_ids`, `attention_mask` (P x T, int64) -> `phrase_features` (P x D)."""

    file: RelativePath
    tokenizer: RelativePath
    max_tokens: int = Field(gt=2, le=512)


class OutOfDomainSpec(StrictModel):
    """Detector of images that are unlike the training images, which get a warning.

    The file holds `mean` (D) and `precision` (D x D) of `global_features`. The score of an image
    is its Mahalanobis distance divided by sqrt(D).
    """

    file: RelativePath
    threshold: float = Field(gt=0, le=1_000_000)
    threshold_rule: str


class GoldenSpec(StrictModel):
    """Inputs and the outputs that the version must reproduce on every load.

    The file holds `image` (B x 1 x size x size), `input_ids` and `attention_mask` if there is a
    text encoder, and one array for each output of the trunk (`trunk.<name>`), for the phrase
    features (`text.phrase_features`) and for each output of a head (`<head>.<output>`).
    """

    file: RelativePath
    tolerance: float = Field(gt=0, le=0.1)
    """Largest absolute difference that is accepted."""
    answers: RelativePath | None = Field(default=None, exclude_if=lambda value: value is None)
    """File of a radiograph and of the answers to it, from pixels to thresholds (see
    `radiograph.golden_answers`). None in older versions and in variants."""
    feature_maps: bool = Field(default=True, exclude_if=lambda value: value)
    """False if the maps of the trunk are left out: the outputs of the heads depend on them, and
    the maps of a decoder take megabytes. Vectors that heads read are recorded all the same."""


class Drift(StrictModel):
    """One metric of the validation split with the graphs of float32, and with a variant."""

    data: str
    head: str | None
    label: str
    metric: str
    float32: float
    value: float
    n: int
    """Number of images on which it was measured."""


class VariantSpec(StrictModel):
    """A trunk in another precision; the heads and the text encoder stay those of float32."""

    trunk: RelativePath
    golden: GoldenSpec
    calibration: str
    """Description of the images and of the graph's parts that stay in float32."""
    drift: tuple[Drift, ...] = ()
    same_decisions: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    """Share of the decisions of each head that are those of float32, on the validation split."""


class DataUse(StrictModel):
    """One data set that was used in the training."""

    name: str
    licence: str
    rows: dict[str, int]
    """Number of images used, by split."""
    note: str = ""


class Metric(StrictModel):
    """One measured metric with its 95 % bootstrap interval over patients."""

    data: str
    split: str
    task: HeadKind
    head: str | None = None
    """Name of the head; absent in versions that had one head of each kind."""
    label: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    """Number of images on which it was measured."""


class Provenance(StrictModel):
    """Origin of the version, in enough detail to train it again."""

    commit: str
    """Git commit of the code that published the version."""
    configuration: dict[str, str]
    """YAML text of each training run by file name, in the order of the runs."""
    data: tuple[DataUse, ...]
    metrics: tuple[Metric, ...] = ()
    accepted: tuple[str, ...] = ()
    """Metrics that were knowingly published below the interval of the version in `stable`."""
    parity: dict[str, float] = Field(default_factory=dict)
    """Largest absolute difference between PyTorch and ONNX, by output."""


class ModelManifest(StrictModel):
    """The complete description of one model version.

    If several heads are of one kind (`findings` and `more_findings`), an answer holds the labels
    of all of them, in the order of `heads`, and boxes in the order of their scores. An answer does
    not name the head of a label, so publishing refuses a label that two heads of one kind share.
    """

    schema_version: Literal[1] = 1
    name: ModelName
    version: int = Field(ge=1)
    created: str
    """Time of publication, UTC, ISO 8601."""
    intended_use: str
    licence: str
    preprocess: PreprocessSpec
    trunk: TrunkSpec
    text: TextSpec | None = None
    heads: dict[str, HeadSpec]
    out_of_domain: OutOfDomainSpec | None = None
    golden: GoldenSpec
    variants: dict[Precision, VariantSpec] = Field(
        default_factory=dict, exclude_if=lambda value: not value
    )
    files: dict[RelativePath, Digest]
    """SHA-256 of every file of the version except the manifest."""
    provenance: Provenance

    @model_validator(mode="after")
    def _check_references(self) -> "ModelManifest":
        named = [self.trunk.file, self.golden.file, *(head.file for head in self.heads.values())]
        named += filter(None, [self.golden.answers])
        if self.text is not None:
            named += [self.text.file, self.text.tokenizer]
        if self.out_of_domain is not None:
            named.append(self.out_of_domain.file)
        if "float32" in self.variants:
            raise ValueError("float32 is the precision of the version itself, not of a variant")
        for variant in self.variants.values():
            named += [variant.trunk, variant.golden.file]
        if missing := sorted(set(named) - set(self.files)):
            raise ValueError(f"files without a digest: {missing}")
        available = set(self.trunk.outputs) | ({"phrase_features"} if self.text else set())
        for name, head in self.heads.items():
            if unknown := sorted(set(head.inputs) - available):
                raise ValueError(f"head {name} reads features that do not exist: {unknown}")
        return self

    def heads_for(self, task: HeadKind) -> dict[str, HeadSpec]:
        """Return the heads of a task, or the checks, by name, in the order of the manifest."""
        return {name: head for name, head in self.heads.items() if head.kind == task}

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Tasks that this version offers."""
        return tuple(task for task in Task if self.heads_for(task))

    def in_precision(self, precision: Precision) -> "ModelManifest":
        """Return the manifest with the trunk and the golden outputs of a precision.

        Raises:
            KeyError: the version has no variant of that precision.
        """
        if precision == "float32":
            return self
        variant = self.variants[precision]
        trunk = self.trunk.model_copy(update={"file": variant.trunk})
        return self.model_copy(update={"trunk": trunk, "golden": variant.golden, "variants": {}})

    def to_json(self) -> str:
        """Return the text of `manifest.json`."""
        return self.model_dump_json(indent=2, exclude_none=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "ModelManifest":
        """Read a `manifest.json`.

        Raises:
            InvalidVersion: the text does not follow the schema.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            location = ".".join(str(part) for part in first["loc"]) or "manifest"
            raise InvalidVersion(f"{location}: {first['msg']}") from error
