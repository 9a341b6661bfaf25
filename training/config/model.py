"""Configuration of the network: image encoder, text encoder and projections."""

from typing import Literal, Self

from pydantic import Field, model_validator

from radiograph.strict_model import StrictModel


class EncoderConfig(StrictModel):
    """Image encoder and U-Net decoder."""

    name: str = "resnet50"
    """Encoder of segmentation-models-pytorch: `resnet50`, `timm-tf_efficientnet_lite2`, ..."""
    weights: str | None = "imagenet"
    """`imagenet` (from the hub), `package:<registry package>`, a local file, or null for random
    initial weights."""
    decoder_channels: tuple[int, int, int, int, int] = (256, 128, 64, 32, 16)
    """Channels of the decoder blocks, from stride 16 to stride 1."""


class TextConfig(StrictModel):
    """Text encoder."""

    name: str = "emilyalsentzer/Bio_ClinicalBERT"
    """Hub name, local folder, or `package:<registry package>`. Remote code is never run."""
    revision: str | None = None
    """Commit of the hub repository, which pins the weights; null is the main branch."""
    pooling: Literal["cls", "mean"] = "cls"
    """Text embedding: the [CLS] token (paper), or the mean of all tokens (sentence encoders)."""
    frozen_layers: int = Field(default=9, ge=0)
    """Number of transformer layers, counted from the embeddings, that are not trained."""
    freeze_embeddings: bool = True
    """Also freeze the token embeddings when any layer is frozen."""
    frozen_dropout: bool = True
    """Apply dropout in frozen layers during training, as in trained ones."""
    max_tokens: int = Field(default=256, gt=2, le=512)
    """Longest report in tokens; training cuts longer ones and the service refuses them."""
    padding: Literal["longest", "max_tokens"] = "longest"
    """Pad the reports of a batch to the longest of them, or always to `max_tokens`."""
    pad_to_multiple: int = Field(default=1, ge=1)
    """Pad further, to a multiple of this number of tokens; a batch then has one of few lengths,
    for each of which `engine.compile` compiles once. It must divide `max_tokens`."""

    @model_validator(mode="after")
    def _longest_is_a_multiple(self) -> Self:
        if self.max_tokens % self.pad_to_multiple:
            raise ValueError(
                f"pad_to_multiple: {self.pad_to_multiple} does not divide max_tokens:"
                f" {self.max_tokens}"
            )
        return self


class ModelConfig(StrictModel):
    """The G2D model."""

    encoder: EncoderConfig = EncoderConfig()
    """Image encoder and decoder."""
    text: TextConfig = TextConfig()
    """Text encoder."""
    projection_dim: int = Field(default=128, ge=1)
    """Dimension d of the embedding space that images and reports share."""
    attention_heads: int = Field(default=3, ge=1)
    """Number of heads of the attention pool."""
    aggregate_heads: bool = True
    """Make one pseudo mask from the mean over the heads; false makes one mask for each head, and
    the decoder then predicts as many channels."""

    @property
    def mask_channels(self) -> int:
        """Number of channels that the decoder predicts."""
        return 1 if self.aggregate_heads else self.attention_heads
