"""Configuration of the network: image encoder, text encoder and projections."""

from typing import Literal

from pydantic import Field

from training.config.base import Strict


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
