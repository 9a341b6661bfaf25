"""Configuration of every run: its keys, checked before anything is computed.

`training.config_files` reads them from YAML.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    model_validator,
)

from radiograph.manifest import LabelName
from radiograph.preprocess import PreprocessSpec
from training.augment_config import Augmentation, AugmentConfig
from training.losses.pseudo_mask import Threshold, Upsampling
from training.losses.segmentation import MaskLoss
from training.strict import Strict


class EncoderConfig(Strict):
    """Image encoder and U-Net decoder."""

    name: str = "resnet50"
    """Of segmentation-models-pytorch, such as `resnet50` or `timm-tf_efficientnet_lite2`."""
    weights: str | None = "imagenet"
    """`imagenet` (from the hub), `package:<registry package>`, a local file, or null for random."""
    decoder_channels: tuple[int, int, int, int, int] = (256, 128, 64, 32, 16)
    """Channels of the decoder from stride 16 to stride 1."""


class TextConfig(Strict):
    """Text encoder."""

    name: str = "emilyalsentzer/Bio_ClinicalBERT"
    """A hub name, a local folder, or `package:<registry package>`. Remote code never runs."""
    revision: str | None = None
    """Commit of the hub repository, so that the weights cannot change."""
    pooling: Literal["cls", "mean"] = "cls"
    """The [CLS] token (paper), or the mean of all tokens (sentence encoders)."""
    frozen_layers: int = Field(default=9, ge=0)
    """Transformer layers, counted from the embeddings, that are not trained."""
    freeze_embeddings: bool = True
    """Whether frozen layers take the embeddings below them along."""
    frozen_dropout: bool = True
    """Whether frozen layers drop out in training, as trained ones do."""
    max_tokens: int = Field(default=256, gt=2, le=512)
    """Longer reports are cut in training and refused by the service."""
    padding: Literal["longest", "max_tokens"] = "longest"
    """Reports of a batch are padded to the longest of them, or all to `max_tokens`."""


class ModelConfig(Strict):
    """The G2D model."""

    encoder: EncoderConfig = EncoderConfig()
    text: TextConfig = TextConfig()
    projection_dim: int = Field(default=128, ge=1)
    """d, the width of the space that images and reports share."""
    attention_heads: int = Field(default=3, ge=1)
    """Heads of the attention pool."""
    aggregate_heads: bool = True
    """One pseudo mask of the mean over the heads; false makes one of each head, and as many
    channels of the decoder's answer."""

    @property
    def mask_channels(self) -> int:
        """Channels of the decoder's answer."""
        return 1 if self.aggregate_heads else self.attention_heads


class PairsConfig(Strict):
    """Which rows of the radiograph tables take part."""

    root: Path
    """Folder with `<name>.csv` and the images that it names, or `<name>.tar`."""
    tables: tuple[str, ...]
    licences: tuple[Literal["open", "noncommercial"], ...] = ("open",)
    """Rows of any other licence class are left out."""
    protocol: Literal["sound", "mgca"] = "sound"
    """Which split and rows of a downstream data set: ours, or the published one with its faults."""


class OptimiserConfig(Strict):
    """AdamW with linear warm-up and cosine decay to zero."""

    lr: float = Field(default=2e-4, gt=0)
    text_lr: float | None = Field(default=None, gt=0)
    """Learning rate of the text encoder; null is `lr`."""
    weight_decay: float = Field(default=1e-8, ge=0)
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of all steps."""
    restart_every: int | None = Field(default=None, ge=1)
    """Steps after which the cosine starts again; null is one cosine to the last step."""
    clip_norm: float | None = Field(default=5.0, gt=0)
    """Gradients are scaled down to this norm; null leaves them as they are."""


class EngineConfig(Strict):
    """Where a run computes, how it is fed and watched.

    A run may go on with another `engine` than it began with, as long as a step sees as many rows.
    """

    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    devices: int = Field(default=1, ge=1)
    """Processes on each node, one a device. Under torchrun or SLURM the launcher's count holds."""
    nodes: int = Field(default=1, ge=1)
    """Likewise."""
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    """`auto` is one process, or ddp for several. `fsdp` shards the weights; CUDA only."""
    accumulate: int = Field(default=1, ge=1)
    """Micro-batches of a step, whose gradients are added up. The contrastive loss has its
    negatives from one micro-batch (of all processes), never from the others of its step."""
    sync_batchnorm: bool = False
    """Batch norm over the batch of all processes instead of each its own. CUDA only."""
    compile: bool = False
    """Through torch.compile; the first steps take minutes."""
    workers: int = Field(default=1, ge=0)
    """Threads that read and tokenise ahead; 0 does so between two steps."""
    prefetch: int = Field(default=3, ge=1)
    """Micro-batches that are read ahead."""
    bucket: int = Field(default=0, ge=0)
    """Batches that are sorted by the reports' lengths together, so that little is padding; 0 or 1
    does not sort. Rows of one batch then have reports of like length."""
    log_every: int | None = Field(default=None, ge=1)
    """Steps between two lines of the log, the only times that the host waits for the device;
    null is `checkpoint_every`."""
    loggers: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = ("tensorboard",)
    """Beside `history.jsonl`. `mlflow` and `wandb` need the extra of that name."""
    picture_every: int = Field(default=0, ge=0)
    """Steps between two panels of image, attention, pseudo mask and prediction; 0 is none."""

    @model_validator(mode="after")
    def _pictures_need_whole_weights(self) -> Self:
        if self.strategy == "fsdp" and self.picture_every:
            raise ValueError("no process has whole weights under fsdp: set picture_every to 0")
        return self


class _RunConfig(Strict):
    seed: int = 0
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    """Rows in one micro-batch of one process. A step sees batch_size x processes x
    engine.accumulate."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    checkpoint_every: int = Field(default=100, ge=1)
    """Steps between two checkpoints."""
    preprocess: PreprocessSpec = PreprocessSpec()
    data: PairsConfig
    optimiser: OptimiserConfig = OptimiserConfig()
    augment: Augmentation = AugmentConfig()
    engine: EngineConfig = EngineConfig()


class ImportedConfig(Strict):
    """Where weights come from that no run of ours trained; `g2d import-checkpoint` writes it."""

    file: str
    """Name of the file, without its folder."""
    sha256: str
    layout: Literal["encoder", "encoder-decoder", "full"]
    """Of the released G2D checkpoints."""
    from_file: tuple[str, ...]
    """Parts of the model, by the names of its modules, that the file holds."""
    fresh: dict[str, str]
    """Every other part, and what it starts from. Nothing of it was aligned with the file's."""


class PretrainConfig(_RunConfig):
    """G2D pre-training: L_VLA + L_PA."""

    kind: Literal["pretrain"]
    model: ModelConfig = ModelConfig()
    temperature: float = Field(default=0.07, gt=0)
    """sigma of the contrastive loss."""
    symmetric: bool = True
    """Both directions of the contrastive loss; false is equation 1 of the paper."""
    gather_negatives: bool = True
    """Contrast with the rows of every process; false is those of the own process alone."""
    same_text_is_positive: bool = False
    """Rows of one batch with the same labels are not negatives of each other."""
    decoder_loss: Literal["none", "reconstruction", "pseudo_segmentation"] = "pseudo_segmentation"
    """What the decoder is trained on: nothing, the image itself, or the pseudo mask."""
    decoder_loss_from_step: int = Field(default=0, ge=0)
    """Optimiser step, from 0, of which the decoder's loss counts for the first time."""
    mask_loss: MaskLoss = "paper"
    """Against the pseudo mask: 0.5 * (Dice of probabilities + BCE), or the released code's Dice
    of raw logits + 0.2 * BCE."""
    threshold: Threshold = "p85"
    """Percentile of each image's scores above which the pseudo mask is 1; `gmm` is the higher
    of two Gaussians fitted to them."""
    upsampling: Upsampling = "bilinear"
    """Of the attention scores to the size of the image."""
    body_mask: bool = True
    """Scores outside of the body, by Otsu's threshold of the image, become 0."""
    smooth: bool = True
    """Bilateral filter over the edges of the pseudo mask."""
    shuffle_masks: bool = False
    """Give each image the pseudo mask of another one: the semantic control of the paper."""
    imported: ImportedConfig | None = None
    """Set in the checkpoint that an import wrote, which no pre-training can go on from."""

    @model_validator(mode="after")
    def _one_image_to_reconstruct(self) -> "PretrainConfig":
        if self.decoder_loss == "reconstruction" and not self.model.aggregate_heads:
            raise ValueError("aggregate_heads: false needs masks; a reconstruction has none")
        return self

    @model_validator(mode="after")
    def _masks_to_shuffle(self) -> "PretrainConfig":
        if self.shuffle_masks and self.decoder_loss != "pseudo_segmentation":
            raise ValueError(
                f"shuffle_masks needs masks; decoder_loss: {self.decoder_loss} has none"
            )
        return self


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


RunConfig = Annotated[PretrainConfig | FinetuneConfig, Field(discriminator="kind")]
