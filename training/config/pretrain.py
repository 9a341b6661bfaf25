"""Configuration of a pre-training run."""

from typing import Literal, Self

from pydantic import Field, model_validator

from radiograph.strict_model import StrictModel
from training.config.model import ModelConfig
from training.config.run import BaseChooseConfig, BaseRunConfig

Threshold = Literal["p85", "p75", "median", "mean", "gmm"]
"""Rule that binarises attention scores into a pseudo mask."""
BodyRule = Literal["silhouette", "otsu"]
"""Rule that finds the body in a radiograph."""
Upsampling = Literal["bilinear", "nearest"]
"""Interpolation of attention scores to the size of the image."""
MaskLoss = Literal["paper", "released"]
"""Loss between the decoder's prediction and the pseudo mask."""


class RetrievalConfig(BaseChooseConfig):
    """Validation by retrieval between images and reports, and selection of the best weights."""

    by: Literal["recall", "loss"] = "recall"
    """Criterion: the highest mean recall among the best 1, 5 and 10, from image to report and
    back, or the lowest loss."""
    every: int | None = Field(default=None, ge=1)
    """Steps between two validations; null is one epoch."""
    limit: int | None = Field(default=1000, ge=1)
    """Largest number of validation images, spread evenly over the split; null uses all. Recall
    depends on it."""


class ImportedConfig(StrictModel):
    """Origin of weights that were imported by `g2d import-checkpoint`, not trained here."""

    file: str
    """Name of the file, without its folder."""
    sha256: str
    """Digest of the file, in hexadecimal."""
    layout: Literal["encoder", "encoder-decoder", "full"]
    """Which of the layouts of the released G2D checkpoints the file has."""
    from_file: tuple[str, ...]
    """Modules of the model whose weights the file holds."""
    fresh: dict[str, str]
    """Every other module, and the weights that it starts from. None of it was aligned with the
    modules of the file."""


class SentenceConfig(StrictModel):
    """Short sentences about an image as further positives beside its report."""

    presence: bool = False
    """Sentences such as `pleural effusion - present`, from the findings that a row knows."""
    location: bool = False
    """Sentences such as `lung opacity in the right lower zone`, where boxes or masks tell it."""
    each: int = Field(default=4, ge=1)
    """Largest number of sentences drawn for one image, those of what is present first."""
    weight: float = Field(default=1.0, gt=0)
    """Weight of their loss beside that of the reports."""

    @property
    def wanted(self) -> bool:
        """True if there are sentences of any kind."""
        return self.presence or self.location


class PretrainConfig(BaseRunConfig):
    """G2D pre-training: L_VLA + L_PA."""

    kind: Literal["pretrain"]
    model: ModelConfig = ModelConfig()
    """Architecture of the network."""
    temperature: float = Field(default=0.07, gt=0)
    """Temperature sigma of the contrastive loss."""
    symmetric: bool = True
    """Sum both directions of the contrastive loss; false is equation 1 of the paper."""
    gather_negatives: bool = True
    """Take negatives from the rows of every process; false takes those of the own process only."""
    same_text_is_positive: bool = False
    """Do not treat rows of one batch whose reports say the same as negatives of each other."""
    sentences: SentenceConfig = SentenceConfig()
    """Short sentences as further positives; none by default."""
    decoder_loss: Literal["none", "reconstruction", "pseudo_segmentation"] = "pseudo_segmentation"
    """Target of the decoder: none, the image itself, or the pseudo mask."""
    decoder_loss_from_step: int = Field(default=0, ge=0)
    """First optimiser step, counted from 0, at which the decoder's loss contributes."""
    mask_loss: MaskLoss = "paper"
    """Loss against the pseudo mask: 0.5 * (Dice of probabilities + BCE), or the released code's
    Dice of raw logits + 0.2 * BCE."""
    threshold: Threshold = "p85"
    """Percentile of each image's scores above which the pseudo mask is 1, or their mean; `gmm` is
    the higher of two Gaussians fitted to them."""
    upsampling: Upsampling = "bilinear"
    """Interpolation of the attention scores to the size of the image."""
    body_mask: bool = True
    """Set scores outside the body to 0."""
    body_rule: BodyRule = "silhouette"
    """Body of the body mask: all but the air around it, or only what is brighter than Otsu's
    threshold of the image (`otsu`), which leaves out most of the lungs."""
    smooth: bool = True
    """Apply a bilateral filter to the edges of the pseudo mask."""
    shuffle_masks: bool = False
    """Give each image the pseudo mask of another one: the semantic control of the paper."""
    choose: RetrievalConfig | None = RetrievalConfig()
    """Validation and selection of the best weights, beside the last; null does not validate."""
    frozen_text_gb: float = Field(default=0, ge=0)
    """Largest size in GB of the output of the frozen text layers, which is computed once for each
    report and kept beside the cache of the images; 0 runs these layers in every step. It needs
    `freeze_embeddings: true` and `frozen_dropout: false`."""
    imported: ImportedConfig | None = None
    """Origin of imported weights; pre-training cannot continue from such a checkpoint."""

    @model_validator(mode="after")
    def _reconstruction_has_one_channel(self) -> Self:
        if self.decoder_loss == "reconstruction" and not self.model.aggregate_heads:
            raise ValueError("aggregate_heads: false needs masks; a reconstruction has none")
        return self

    @model_validator(mode="after")
    def _kept_text_is_constant(self) -> Self:
        text = self.model.text
        constant = text.frozen_layers and text.freeze_embeddings and not text.frozen_dropout
        if self.frozen_text_gb and not constant:
            raise ValueError(
                "frozen_text_gb: the output of the lower text layers is constant only with"
                " frozen_layers above 0, freeze_embeddings: true and frozen_dropout: false"
            )
        return self

    @model_validator(mode="after")
    def _shuffling_needs_masks(self) -> Self:
        if self.shuffle_masks and self.decoder_loss != "pseudo_segmentation":
            raise ValueError(
                f"shuffle_masks needs masks; decoder_loss: {self.decoder_loss} has none"
            )
        return self
