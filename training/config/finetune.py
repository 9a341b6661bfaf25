"""Configuration of a fine-tuning run."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from radiograph.manifest import LabelName
from training.config.base import Strict
from training.config.model import ModelConfig
from training.config.run import _RunConfig

Fraction = Annotated[float, Field(gt=0, le=1)]


class ChooseConfig(Strict):
    """Look at the validation split now and then, and keep the weights of the best look."""

    by: Literal["loss", "auroc", "dice", "ap50"]
    """What is best: the lowest loss, or the highest mean AUROC of the findings, image-wise Dice of
    the masks or average precision of the boxes at IoU 0.5, on the model's grid."""
    every: int = Field(ge=1)
    """Steps between two looks."""
    patience: int | None = Field(default=None, ge=1)
    """Looks without a better one after which the run ends; null goes on to the last step."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many validation images, evenly spread; null is all."""


class FinetuneConfig(_RunConfig):
    """Heads on the trunk, trained together so that they share one pass of it."""

    kind: Literal["finetune"]
    pretrained: Path | None = None
    """Checkpoint of a pre-training run. It says what the model is."""
    model: ModelConfig | None = None
    """Needed only without `pretrained`."""
    start_from: Path | None = None
    """Checkpoint of a fine-tuning of the same model, to go on from; its heads where they fit."""
    anatomy_weight: float = Field(default=1.0, gt=0)
    """Of the segmentation loss beside the other heads' losses."""
    freeze_trunk: bool = False
    """Train the heads only; they can then be published on the trunk that is already served."""
    freeze_encoder: bool = False
    """Train the decoder and the heads."""
    fresh_decoder: bool = False
    """Take over the encoder alone; the decoder starts anew, by the seed."""
    fraction: Fraction | None = None
    """Of the patients of the training split whose labels a head asks for; null is every row, with
    labels or without."""
    fraction_seed: int = 0
    """Equal seeds give nested subsets for growing fractions."""
    max_steps: int | None = Field(default=None, ge=1)
    """Ends the run before its last epoch."""
    choose: ChooseConfig | None = None
    """null keeps the weights of the last step."""
    findings: tuple[LabelName, ...] = ()
    """Labels of the classification head."""
    exclusive: bool = False
    """Whether a radiograph has exactly one of the findings: softmax in place of sigmoids."""
    masks: tuple[LabelName, ...] = ()
    """Labels of the segmentation head."""
    boxes: tuple[LabelName, ...] = ()
    """Labels of the detection head."""
    detector: Literal["centre", "yolov3", "fcos"] = "centre"
    """Which head finds them: ours on the decoder, or one on the encoder's strides 8, 16 and 32:
    that of the paper, or FCOS."""
    regions: bool = True
    """Align pixel embeddings with phrases, on masks and boxes."""
    keep_alignment: bool = True
    """Go on with the image-report loss, so that the zero-shot map stays what it was."""
    phrases_per_batch: int = 24
    repeat: dict[str, int] = Field(default_factory=dict)
    """How often an epoch shows rows with something rare: `masks:<table>`, `boxes:<label>`, ..."""

    @property
    def freezes_encoder(self) -> bool:
        """Whether the encoder stays as it is."""
        return self.freeze_trunk or self.freeze_encoder

    @property
    def aligns(self) -> bool:
        """Whether the image-report loss goes on."""
        return self.keep_alignment and not self.freezes_encoder

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.fresh_decoder and self.freeze_trunk:
            raise ValueError("fresh_decoder: the decoder of a frozen trunk would stay random")
        return self

    @model_validator(mode="after")
    def _something_to_choose_by(self) -> Self:
        heads = {"auroc": self.findings, "dice": self.masks, "ap50": self.boxes}
        if self.choose is not None and not heads.get(self.choose.by, True):
            raise ValueError(
                f"choose.by: {self.choose.by} needs a head that this run does not have"
            )
        return self

    @model_validator(mode="after")
    def _something_to_detect(self) -> Self:
        if self.detector != "centre" and not self.boxes:
            raise ValueError(f"detector: {self.detector} needs boxes")
        return self

    @model_validator(mode="after")
    def _each_label_once(self) -> Self:
        for labels in (self.findings, self.masks, self.boxes):
            if len(set(labels)) < len(labels):
                raise ValueError(f"a label is named twice: {', '.join(labels)}")
        return self

    @model_validator(mode="after")
    def _several_exclude_each_other(self) -> Self:
        if self.exclusive and len(self.findings) < 2:
            raise ValueError("exclusive needs two findings or more")
        return self
