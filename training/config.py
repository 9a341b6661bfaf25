"""Configuration of every run, read from YAML and checked before anything is computed."""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field

from radiograph.preprocess import PreprocessSpec
from training.losses.pseudo_mask import Threshold

CONFIGS = Path(__file__).parent / "configs"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EncoderConfig(_Strict):
    """Image encoder and U-Net decoder."""

    name: str = "resnet50"
    """Of segmentation-models-pytorch, such as `resnet50` or `timm-tf_efficientnet_lite2`."""
    weights: str | None = "imagenet"
    """`imagenet` (from the hub), `package:<registry package>`, a local file, or null for random."""
    decoder_channels: tuple[int, int, int, int, int] = (256, 128, 64, 32, 16)
    """Channels of the decoder from stride 16 to stride 1."""


class TextConfig(_Strict):
    """Text encoder."""

    name: str = "emilyalsentzer/Bio_ClinicalBERT"
    """A hub name, a local folder, or `package:<registry package>`. Remote code never runs."""
    revision: str | None = None
    """Commit of the hub repository, so that the weights cannot change."""
    pooling: Literal["cls", "mean"] = "cls"
    """The [CLS] token (paper), or the mean of all tokens (sentence encoders)."""
    frozen_layers: int = Field(default=9, ge=0)
    """Transformer layers, counted from the embeddings, that are not trained."""
    max_tokens: int = Field(default=256, gt=2, le=512)
    """Longer reports are cut in training and refused by the service."""


class ModelConfig(_Strict):
    """The G2D model."""

    encoder: EncoderConfig = EncoderConfig()
    text: TextConfig = TextConfig()
    projection_dim: int = 128
    """d, the width of the space that images and reports share."""
    attention_heads: int = 3
    """Heads of the attention pool."""


class PairsConfig(_Strict):
    """Which rows of the radiograph tables take part."""

    root: Path
    """Folder with `<name>.csv` and the images that it names, or `<name>.tar`."""
    tables: tuple[str, ...]
    licences: tuple[Literal["open", "noncommercial"], ...] = ("open",)
    """Rows of any other licence class are left out."""


class AugmentConfig(_Strict):
    """Random changes of training images. Never a flip: it would swap left and right."""

    rotate_deg: float = 10.0
    translate: float = 0.08
    """Of the side of the image."""
    scale: float = 0.15
    """Factor between 1 - scale and 1 + scale."""
    gamma: float = 0.35
    """Exponent between 1 - gamma and 1 + gamma / (1 - gamma)."""
    contrast: float = 0.25
    """Factor between 1 - contrast and 1 + contrast about the mean."""
    noise: float = 0.02
    """Largest standard deviation of the Gaussian noise, of the full range."""


class OptimiserConfig(_Strict):
    """AdamW with linear warm-up and cosine decay to zero."""

    lr: float = 2e-4
    text_lr: float | None = None
    """Learning rate of the text encoder; null is `lr`."""
    weight_decay: float = 1e-8
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of all steps."""
    clip_norm: float = 5.0
    """Gradients are scaled down to this norm."""


class _RunConfig(_Strict):
    seed: int = 0
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    checkpoint_every: int = Field(default=100, ge=1)
    """Steps between two checkpoints."""
    preprocess: PreprocessSpec = PreprocessSpec()
    data: PairsConfig
    optimiser: OptimiserConfig = OptimiserConfig()
    augment: AugmentConfig = AugmentConfig()


class PretrainConfig(_RunConfig):
    """G2D pre-training: L_VLA + L_PA."""

    kind: Literal["pretrain"]
    model: ModelConfig = ModelConfig()
    temperature: float = 0.07
    """sigma of the contrastive loss."""
    symmetric: bool = True
    """Both directions of the contrastive loss; false is equation 1 of the paper."""
    same_text_is_positive: bool = False
    """Rows of one batch with the same labels are not negatives of each other."""
    decoder_loss: Literal["none", "pseudo_segmentation"] = "pseudo_segmentation"
    threshold: Threshold = "p85"
    body_mask: bool = True
    smooth: bool = True


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
    findings: tuple[str, ...] = ()
    """Labels of the classification head."""
    masks: tuple[str, ...] = ()
    """Labels of the segmentation head."""
    boxes: tuple[str, ...] = ()
    """Labels of the detection head."""
    regions: bool = True
    """Align pixel embeddings with phrases, on masks and boxes."""
    keep_alignment: bool = True
    """Go on with the image-report loss, so that the zero-shot map stays what it was."""
    phrases_per_batch: int = 24
    repeat: dict[str, int] = Field(default_factory=dict)
    """How often an epoch shows rows with something rare: `masks:<table>`, `boxes:<label>`, ..."""


RunConfig = Annotated[PretrainConfig | FinetuneConfig, Field(discriminator="kind")]


class _Run(BaseModel):
    run: RunConfig


Config = TypeVar("Config", PretrainConfig, FinetuneConfig)


def find(name: str | Path) -> Path:
    """A YAML by its path, or by its name among the configurations that we ship.

    Raises:
        FileNotFoundError: neither is there; the message lists the shipped names.
    """
    shipped = CONFIGS / f"{name}.yaml"
    for path in (Path(name), shipped):
        if path.is_file():
            return path
    names = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.yaml")))
    raise FileNotFoundError(f"no configuration {name!s}; shipped are: {names}")


def load(name: str | Path, kind: type[Config]) -> Config:
    """Read and check a configuration.

    Raises:
        FileNotFoundError: it is not there.
        TypeError: it configures another kind of run.
        pydantic.ValidationError: a key is unknown or a value out of range.
    """
    run = load_any(name)
    if not isinstance(run, kind):
        raise TypeError(f"{name} configures a {run.kind} run")
    return run


def load_any(name: str | Path) -> PretrainConfig | FinetuneConfig:
    """Read and check a configuration of any kind.

    Raises:
        FileNotFoundError: it is not there.
        pydantic.ValidationError: a key is unknown or a value out of range.
    """
    return _Run.model_validate({"run": yaml.safe_load(find(name).read_text())}).run
