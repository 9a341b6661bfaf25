"""ModelManifest: what one model version is, down to the digest of every file.

    models/<name>/<n>/
      manifest.json   this schema; its SHA-256 is the digest of the version
      trunk.onnx      image -> feature maps and embeddings
      text.onnx tokenizer.json   token ids -> phrase features
      heads/*.onnx    trunk features (and phrase features) -> one task's raw output
      golden.npz      inputs and outputs, replayed at load
      statistics.npz  distribution of the global features over the training images
      MODEL_CARD.md

The schema is strict: an unknown key, a missing file name or a head that asks for a feature
that the trunk does not give is an error when the manifest is read, not when it serves.
"""

import unicodedata
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from radiograph.errors import InvalidVersion
from radiograph.preprocess import PreprocessSpec
from radiograph.terminology import Code

MANIFEST_NAME = "manifest.json"


class Task(StrEnum):
    """What can be asked of a radiograph, and so what kind a head can be."""

    CLASSIFY = "classify"
    SEGMENT = "segment"
    DETECT = "detect"
    GROUND = "ground"


def _inside_the_version(path: str) -> str:
    pure = PurePosixPath(path)
    if not path or "\\" in path or pure.is_absolute() or {"..", "."} & set(path.split("/")):
        raise ValueError(f"not a path inside of the version's folder: {path!r}")
    return str(pure)


RelativePath = Annotated[str, AfterValidator(_inside_the_version)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ModelName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


LONGEST_LABEL = 100
_NO_LABEL = {"Cc", "Cs", "Zl", "Zp"}
_REORDERING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def _one_line(name: str) -> str:
    """Any script, but nothing that breaks the line or turns the text around it."""
    if not name.strip() or len(name) > LONGEST_LABEL:
        raise ValueError(f"a label has 1 to {LONGEST_LABEL} characters")
    for character in name:
        breaks = unicodedata.category(character) in _NO_LABEL
        if breaks or unicodedata.bidirectional(character) in _REORDERING:
            raise ValueError(f"a label is one line of text: {name!r}")
    return name


LabelName = Annotated[str, AfterValidator(_one_line)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Label(_Strict):
    """One output channel of a head and how its score is read."""

    name: LabelName
    code: Code | None = None
    threshold: float = Field(default=0.5, ge=0, le=1)
    """A calibrated probability at or above it counts as positive."""

    @property
    def withheld(self) -> bool:
        """A threshold of 1: validation found the label too poor, and no mask or box is given."""
        return self.threshold >= 1


class HeadSpec(_Strict):
    """One head: where it is, what it reads, and how its raw output becomes a result.

    The raw outputs, by kind (float32, B images, P phrases, K labels, grid h x w):
        classify: `logits` B x K
        segment:  `logits` B x K x h x w
        detect:   of form `grid` `logits` B x K x h x w and `distances` B x K x 4 x h x w: from
                  the centre of the cell to the left, top, right and bottom edge, in sides of the
                  grid (0 to 1); of form `candidates` `logits` B x K x N and `boxes` B x N x 4:
                  x0, y0, x1, y1 in sides of the grid, which all labels share
        ground:   `logits` B x P x h x w, a similarity of each cell with each phrase, and
                  `presence` B x P, one logit for the phrase being in the image at all
    """

    kind: Task
    file: RelativePath
    inputs: tuple[str, ...]
    """Names of trunk outputs; a `ground` head also reads `phrase_features` (P x D)."""
    labels: tuple[Label, ...] = ()
    method: str | None = None
    """For `ground`: `zero_shot` (no region was ever labelled) or `aligned` (trained on regions)."""
    temperature: float = Field(default=1.0, gt=0)
    """Divides logits before the sigmoid; fitted on the validation split."""
    form: Literal["grid", "candidates"] = Field(default="grid", exclude_if=lambda v: v == "grid")
    """For `detect`: what the raw outputs are. `grid` is not written: older manifests are silent."""
    nms_iou: float = Field(default=0.5, gt=0, le=1)
    """For `detect`: of two boxes of one label that overlap more, the lower one is dropped."""
    threshold_rule: str = "0.5, not tuned"
    """How the thresholds were chosen, in words."""

    @model_validator(mode="after")
    def _labels_fit_the_kind(self) -> "HeadSpec":
        if (self.kind is Task.GROUND) != (self.method is not None):
            raise ValueError("a ground head, and no other, names its method")
        if (self.kind is Task.GROUND) == bool(self.labels):
            raise ValueError("a head has labels, except a ground head")
        if self.form != "grid" and self.kind is not Task.DETECT:
            raise ValueError("a detect head, and no other, gives candidates")
        return self

    @property
    def outputs(self) -> frozenset[str]:
        """Names of the raw outputs that results are made of."""
        if self.kind is Task.DETECT:
            return frozenset({"logits", "boxes" if self.form == "candidates" else "distances"})
        return frozenset({"logits", "presence"} if self.kind is Task.GROUND else {"logits"})


class TrunkSpec(_Strict):
    """The image side: `image` (B x 1 x size x size, float32) -> named features."""

    file: RelativePath
    outputs: tuple[str, ...]
    """Feature names that heads may read. `global_features` (B x D) is always among them."""

    @model_validator(mode="after")
    def _has_global_features(self) -> "TrunkSpec":
        if "global_features" not in self.outputs:
            raise ValueError("the trunk must give `global_features`")
        return self


class TextSpec(_Strict):
    """The text side: `input_ids`, `attention_mask` (P x T, int64) -> `phrase_features` P x D."""

    file: RelativePath
    tokenizer: RelativePath
    max_tokens: int = Field(gt=2, le=512)


class OutOfDomainSpec(_Strict):
    """How unlike the training images an image may be before a warning is given.

    The file holds `mean` (D) and `precision` (D x D) of `global_features`; the score is the
    Mahalanobis distance divided by sqrt(D).
    """

    file: RelativePath
    threshold: float = Field(gt=0)
    threshold_rule: str


class GoldenSpec(_Strict):
    """Inputs and outputs that must come out again on every load.

    The file holds `image` (B x 1 x size x size), `input_ids` and `attention_mask` when there
    is a text side, and one array for each trunk output (`trunk.<name>`), for the phrase
    features (`text.phrase_features`) and for each head output (`<head>.<output>`).
    """

    file: RelativePath
    tolerance: float = Field(gt=0, le=0.1)
    """Largest absolute difference that is still the same answer."""


class DataUse(_Strict):
    """One data set that took part in the training."""

    name: str
    licence: str
    rows: dict[str, int]
    """Images used, by split."""
    note: str = ""


class Metric(_Strict):
    """One measured figure with its 95 % bootstrap interval over patients."""

    data: str
    split: str
    task: Task
    head: str | None = None
    """That was measured; not named by versions that had one head of a kind."""
    label: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    """Images it was measured on."""


class Provenance(_Strict):
    """Where the version comes from, enough to train it again."""

    commit: str
    """Of the repository that published the version."""
    configuration: dict[str, str]
    """YAML texts of the runs, by file name, in the order in which they ran."""
    data: tuple[DataUse, ...]
    metrics: tuple[Metric, ...] = ()
    accepted: tuple[str, ...] = ()
    """Figures that were knowingly published below the interval of the version in `stable`."""
    parity: dict[str, float] = Field(default_factory=dict)
    """Largest absolute difference between PyTorch and ONNX, by output."""


class ModelManifest(_Strict):
    """What one model version is.

    Of several heads of one kind (`findings` and `more_findings`) an answer holds the labels of
    all, in the order of `heads`; boxes are put in the order of their scores. An answer does not
    say which head a label is of: what is published names a label in one head of a kind only.
    """

    schema_version: Literal[1] = 1
    name: ModelName
    version: int = Field(ge=1)
    created: str
    """UTC, ISO 8601."""
    intended_use: str
    licence: str
    preprocess: PreprocessSpec
    trunk: TrunkSpec
    text: TextSpec | None = None
    heads: dict[str, HeadSpec]
    out_of_domain: OutOfDomainSpec | None = None
    golden: GoldenSpec
    files: dict[RelativePath, Digest]
    """SHA-256 of every file of the version but this one."""
    provenance: Provenance

    @model_validator(mode="after")
    def _everything_named_is_there(self) -> "ModelManifest":
        named = [self.trunk.file, self.golden.file, *(head.file for head in self.heads.values())]
        if self.text is not None:
            named += [self.text.file, self.text.tokenizer]
        if self.out_of_domain is not None:
            named.append(self.out_of_domain.file)
        if missing := sorted(set(named) - set(self.files)):
            raise ValueError(f"files without a digest: {missing}")
        given = set(self.trunk.outputs) | ({"phrase_features"} if self.text else set())
        for name, head in self.heads.items():
            if unknown := sorted(set(head.inputs) - given):
                raise ValueError(f"head {name} reads what nothing gives: {unknown}")
        return self

    def heads_for(self, task: Task) -> dict[str, HeadSpec]:
        """The heads that answer a task, by name, in the manifest's order."""
        return {name: head for name, head in self.heads.items() if head.kind is task}

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks this version answers."""
        return tuple(task for task in Task if self.heads_for(task))

    def to_json(self) -> str:
        """The text of `manifest.json`."""
        return self.model_dump_json(indent=2, exclude_none=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "ModelManifest":
        """Read a `manifest.json`.

        Raises:
            InvalidVersion: it does not follow the schema.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "manifest"
            raise InvalidVersion(f"{where}: {first['msg']}") from error
