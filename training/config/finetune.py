"""Configuration of a fine-tuning run."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from radiograph.manifest import MaskCleaning
from radiograph.strict_model import StrictModel
from radiograph.terminology.codes import Code
from radiograph.terminology.label_names import LabelName
from training.config.augmentation import AugmentConfig
from training.config.model import ModelConfig
from training.config.run import BaseChooseConfig, BaseRunConfig

Fraction = Annotated[float, Field(gt=0, le=1)]
"""Fraction of the labelled training patients."""
Detector = Literal["centre", "yolov3", "fcos"]
"""Detection head: ours on the decoder, or one on the encoder's strides 8, 16 and 32, which is
YOLOv3 (as in the paper) or FCOS."""

MaskLoss = Literal["dice_bce", "mgca"]
"""Loss of the masks: Dice + cross-entropy of each map, or 10 * focal - log(Dice) of the joined
batch, as in MGCA."""


class ChooseConfig(BaseChooseConfig):
    """Selection of the weights with the best result on the validation split."""

    by: Literal["loss", "auroc", "dice", "ap50"]
    """Criterion: the lowest loss, or the highest mean AUROC of the findings, image-wise Dice of
    the masks or average precision of the boxes at IoU 0.5, on the model's grid."""
    every: int = Field(ge=1)
    """Steps between two validations."""


class TeacherConfig(StrictModel):
    """Masks of organs for training rows that have none, from an earlier fine-tuning."""

    run: Path
    """Checkpoint of the earlier fine-tuning."""
    tables: tuple[str, ...] = Field(min_length=1)
    """Data sets whose rows are annotated."""
    agreement: float = Field(default=0.9, gt=0, le=1)
    """Least Dice between the masks of a radiograph and of an augmented view of it."""


class ChecksConfig(StrictModel):
    """Checks on the pixels, trained on their own; all other heads stay as `start_from` has them."""

    outliers: tuple[str, ...] = ()
    """Data sets of pictures that are no chest radiographs; nothing else learns from them."""
    examples: int = Field(default=9000, ge=1)
    """Number of pictures that are drawn, once for the whole run."""


class WordsConfig(StrictModel):
    """More wordings for the text encoder, without images; all else stays as `start_from` has it."""

    layers: int = Field(default=3, ge=1)
    """Number of layers of the text encoder that learn, the last ones."""
    texts: int = Field(default=60_000, ge=2)
    """Number of texts in an epoch; half of them are known ones, which must stay as they are."""


class FinetuneConfig(BaseRunConfig):
    """Task heads on the trunk, trained together so that they share one pass of it."""

    kind: Literal["finetune"]
    pretrained: Path | None = None
    """Checkpoint of a pre-training run, which also defines the architecture."""
    model: ModelConfig | None = None
    """Architecture; needed only without `pretrained`."""
    start_from: Path | None = None
    """Checkpoint of a fine-tuning of the same model to start from; heads are taken over where
    they fit. The run needs a seed of its own, or it repeats the batches of the earlier one."""
    teacher: TeacherConfig | None = Field(default=None, exclude_if=lambda value: value is None)
    """Masks for radiographs without any; null uses only those of the data sets."""
    anatomy_weight: float = Field(default=1.0, gt=0)
    """Weight of the segmentation loss relative to the losses of the other heads."""
    mask_loss: MaskLoss = "dice_bce"
    """Loss of the masks."""
    freeze_trunk: bool = False
    """Train the heads only; they can then be published on the trunk that is already served."""
    freeze_encoder: bool = False
    """Train the decoder and the heads only."""
    fresh_decoder: bool = False
    """Take over the encoder only and initialise the decoder anew from the seed."""
    fraction: Fraction | None = None
    """Fraction of the training patients who have a label that a head learns; null uses every
    row, labelled or not."""
    fraction_seed: int = 0
    """Seed of the subset; for one seed, a larger fraction contains every smaller one."""
    max_steps: int | None = Field(default=None, ge=1)
    """Largest number of steps, where it is less than `epochs` take."""
    weight_average: float | None = Field(
        default=None, gt=0, lt=1, exclude_if=lambda value: value is None
    )
    """Decay of the exponential moving average of the weights over the steps, which then stands for
    the run wherever it is used; null keeps the weights of the last step."""
    choose: ChooseConfig | None = None
    """Selection of the best weights; null keeps those of the last step."""
    findings: tuple[LabelName, ...] = ()
    """Labels of the classification head."""
    exclusive: bool = False
    """Every radiograph has exactly one of the findings: softmax in place of sigmoids."""
    subtype_of: dict[LabelName, LabelName] = Field(
        default_factory=dict, exclude_if=lambda value: not value
    )
    """Finding -> finding that it is a subtype of, without which it is never answered as present.
    Evaluation and service apply the same; training does not."""
    masks: tuple[LabelName, ...] = ()
    """Labels of the segmentation head."""
    clean: dict[LabelName, MaskCleaning] = Field(
        default_factory=dict, exclude_if=lambda value: not value
    )
    """Removal of islands and holes: label of a mask -> parameters; other masks stay as they are.
    Evaluation and service apply the same."""
    boxes: tuple[LabelName, ...] = ()
    """Labels of the detection head."""
    codes: dict[LabelName, Code] = Field(default_factory=dict, exclude_if=lambda value: not value)
    """Label -> its code in answers. A run adds those of the descriptions of its data sets; a label
    without one has the code that `radiograph.terminology.codes` knows, if any."""
    detector: Detector = "centre"
    """Architecture of the detection head."""
    regions: bool = True
    """Align pixel embeddings with phrases, on masks and boxes."""
    balance_presence: bool = False
    """Weigh each finding in the presence of phrases as if half of the rows showed it."""
    keep_alignment: bool = True
    """Keep training the image-report loss, which preserves the zero-shot map."""
    source_adversary: float | None = Field(
        default=None, gt=0, exclude_if=lambda value: value is None
    )
    """Weight by which the trunk learns to hide from a classifier which data set an image is from;
    null trains no such classifier. It is no part of a published version."""
    checks: ChecksConfig | None = Field(default=None, exclude_if=lambda value: value is None)
    """Train the checks on the pixels, and nothing else; null does not train them."""
    words: WordsConfig | None = Field(default=None, exclude_if=lambda value: value is None)
    """Train the text encoder on further wordings, and nothing else; null does not."""
    phrases_per_batch: int = 24
    """Number of phrases that are aligned in each batch."""
    repeat: dict[str, int] = Field(default_factory=dict)
    """How often an epoch shows rare rows: `masks:<table>`, `boxes:<label>`, ... -> times."""

    @property
    def freezes_encoder(self) -> bool:
        """True if the encoder is not trained."""
        return self.freeze_trunk or self.freeze_encoder

    @property
    def aligns(self) -> bool:
        """True if the image-report loss is part of the run."""
        return self.keep_alignment and not self.freezes_encoder

    @model_validator(mode="after")
    def _fresh_decoder_is_trained(self) -> Self:
        if self.fresh_decoder and self.freeze_trunk:
            raise ValueError("fresh_decoder: the decoder of a frozen trunk would stay random")
        return self

    @model_validator(mode="after")
    def _checks_are_trained_alone(self) -> Self:
        if self.checks is None:
            return self
        if not self.freeze_trunk or self.start_from is None:
            raise ValueError("checks: needs `start_from` and `freeze_trunk: true`")
        for key in ("choose", "teacher", "fraction"):
            if getattr(self, key) is not None:
                raise ValueError(f"checks: {key} is of no use, as no other head is trained")
        look = self.augment.appearance if isinstance(self.augment, AugmentConfig) else None
        if self.augment.kind == "crop" or (look is not None and look.inverted_share > 0):
            raise ValueError("checks: augment must not crop, nor invert (inverted_share: 0)")
        if self.data.shards is not None:
            raise ValueError("checks: pictures are changed before they are preprocessed: no shards")
        if twice := sorted(set(self.checks.outliers) & set(self.data.tables)):
            raise ValueError(f"checks.outliers: also among data.tables: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _words_are_learned_alone(self) -> Self:
        if self.words is None:
            return self
        if not self.freeze_trunk or self.start_from is None:
            raise ValueError("words: needs `start_from` and `freeze_trunk: true`")
        if not self.regions:
            raise ValueError("words: a head must read them (regions: true)")
        for key in ("choose", "teacher", "fraction"):
            if getattr(self, key) is not None:
                raise ValueError(f"words: {key} is of no use, as no image is read")
        return self

    @model_validator(mode="after")
    def _an_adversary_has_a_trunk_and_sources(self) -> Self:
        if self.source_adversary is None:
            return self
        if self.freezes_encoder:
            raise ValueError("source_adversary: a frozen encoder cannot hide anything from it")
        if len(self.data.tables) < 2:
            raise ValueError("source_adversary: one data set cannot be told apart from others")
        return self

    @model_validator(mode="after")
    def _an_average_is_not_chosen(self) -> Self:
        if self.weight_average is not None and self.choose is not None:
            raise ValueError("weight_average: choose keeps the weights of one step, not an average")
        return self

    @model_validator(mode="after")
    def _criterion_has_a_head(self) -> Self:
        heads = {"auroc": self.findings, "dice": self.masks, "ap50": self.boxes}
        if self.choose is not None and not heads.get(self.choose.by, True):
            raise ValueError(
                f"choose.by: {self.choose.by} needs a head that this run does not have"
            )
        return self

    @model_validator(mode="after")
    def _crop_is_for_findings(self) -> Self:
        if self.augment.kind == "crop" and (self.masks or self.boxes or self.regions):
            raise ValueError("augment: a crop suits findings alone: no masks, boxes or regions")
        return self

    @model_validator(mode="after")
    def _detector_has_boxes(self) -> Self:
        if self.detector != "centre" and not self.boxes:
            raise ValueError(f"detector: {self.detector} needs boxes")
        return self

    @model_validator(mode="after")
    def _cleaned_masks_exist(self) -> Self:
        if unknown := sorted(set(self.clean) - set(self.masks)):
            raise ValueError(f"clean: no such masks: {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _subtypes_are_of_findings(self) -> Self:
        if self.subtype_of and self.exclusive:
            raise ValueError("subtype_of: exclusive findings are never present together")
        for subtype, supertype in self.subtype_of.items():
            if unknown := sorted({subtype, supertype} - set(self.findings)):
                raise ValueError(f"subtype_of: no such findings: {', '.join(unknown)}")
            if supertype in self.subtype_of:
                raise ValueError(f"subtype_of: {supertype}, of which {subtype} is one, is one too")
        return self

    @model_validator(mode="after")
    def _coded_labels_exist(self) -> Self:
        labels = {*self.findings, *self.masks, *self.boxes}
        if unknown := sorted(set(self.codes) - labels):
            raise ValueError(f"codes: no such labels: {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _labels_are_unique(self) -> Self:
        for labels in (self.findings, self.masks, self.boxes):
            if len(set(labels)) < len(labels):
                raise ValueError(f"a label is named twice: {', '.join(labels)}")
        return self

    @model_validator(mode="after")
    def _exclusive_findings_are_several(self) -> Self:
        if self.exclusive and len(self.findings) < 2:
            raise ValueError("exclusive needs two findings or more")
        return self
