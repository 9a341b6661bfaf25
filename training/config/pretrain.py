"""Configuration of a pre-training run."""

from typing import Literal

from pydantic import Field, model_validator

from training.config.base import Strict
from training.config.model import ModelConfig
from training.config.run import _RunConfig

Threshold = Literal["p85", "p75", "median", "gmm"]


Upsampling = Literal["bilinear", "nearest"]


MaskLoss = Literal["paper", "released"]


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
