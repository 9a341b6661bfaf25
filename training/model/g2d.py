r"""The G2D network: image encoder and decoder, attention pool, text encoder, two projections.

    image  -> img_model.encoder -> V -> proj_v -> attnpool -> image embedding, attention
                       \-> img_model.decoder -> segmentation_head -> mask logits
    report -> lm_model -> proj_t -> report embedding

Modules have the names of the released checkpoints (`img_model`, `proj_v`, `attnpool`, `proj_t`,
`lm_model`), so that their state dicts fit.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from training.config.model import ModelConfig
from training.model.attention_pool import AttentionPool
from training.model.image_encoder import Pyramid, build_unet, pyramid, run_decoder, run_unet
from training.model.text_encoder import TextEncoder


@dataclass(frozen=True)
class ImageFeatures:
    """Output of the image side.

    Attributes:
        pyramid: feature maps of encoder and decoder.
        pixel_embeddings: B x d x H/32 x W/32, the projected deepest map.
        embedding: B x d, the attention-pooled image embedding, not normalised.
        attention: B x heads x H/32 x W/32, the scores of the attention pool.
    """

    pyramid: Pyramid
    pixel_embeddings: Tensor
    embedding: Tensor
    attention: Tensor


class G2D(nn.Module):
    """The model of the paper, with any image and text encoder."""

    def __init__(self, config: ModelConfig, size_px: int) -> None:
        """Build the model.

        Args:
            config: architecture.
            size_px: side of the training images. The model also takes images of other sizes,
                for which the position embeddings of the pool are resampled.
        """
        super().__init__()
        dim = config.projection_dim
        self.decoder_channels = config.encoder.decoder_channels
        self.img_model = build_unet(config.encoder, config.mask_channels)
        self.lm_model = TextEncoder(config.text)
        channels = self.img_model.encoder.out_channels[-1]
        self.proj_v = nn.Sequential(
            nn.Conv2d(channels, dim, 1, bias=False),
            nn.BatchNorm2d(dim, affine=False),
            nn.ReLU(),
            nn.Conv2d(dim, dim, 1, bias=False),
        )
        self.proj_t = nn.Sequential(
            nn.Conv1d(self.lm_model.width, dim, 1, bias=False),
            nn.BatchNorm1d(dim, affine=False),
            nn.ReLU(),
            nn.Conv1d(dim, dim, 1, bias=False),
        )
        self.attnpool = AttentionPool((size_px // 32, size_px // 32), dim, config.attention_heads)

    def channels(self, output: str) -> int:
        """Return the number of channels of an output of the trunk or of the phrase features.

        Args:
            output: `phrase_features`, or a name from `trunk_outputs`, embeddings excepted.
        """
        encoder = self.img_model.encoder.out_channels
        channels = dict(zip(("encoder_8", "encoder_16", "encoder_32"), encoder[-3:], strict=True))
        names = (f"decoder_{stride}" for stride in (16, 8, 4, 2, 1))
        channels |= dict(zip(names, self.decoder_channels, strict=True))
        channels |= {"global_features": encoder[-1], "phrase_features": self.lm_model.width}
        return int(channels[output])

    def image(self, images: Tensor, *, decode: bool = True) -> ImageFeatures:
        """Return the features of normalised images, B x 1 x H x W.

        Args:
            images: normalised intensities.
            decode: False skips the decoder, whose maps are then missing.
        """
        return self.project(run_unet(self.img_model, images, decode=decode))

    def image_of_maps(self, maps: Sequence[Tensor], *, decode: bool = True) -> ImageFeatures:
        """Return the features of images whose encoder maps are known.

        Args:
            maps: maps of the encoder, the last three of strides 8, 16 and 32.
            decode: False skips the decoder.
        """
        height, width = (32 * side for side in maps[-1].shape[-2:])
        decoded = run_decoder(self.img_model, maps, (height, width)) if decode else {}
        return self.project(pyramid(maps, decoded))

    def project(self, pyramid: Pyramid) -> ImageFeatures:
        """Return the maps together with the projected map and the pooled embedding."""
        pixels = self.proj_v(pyramid.deep)
        pooled = self.attnpool(pixels)
        return ImageFeatures(pyramid, pixels, pooled.embedding, pooled.attention)

    def mask_logits(self, features: ImageFeatures) -> Tensor:
        """Return the logits of the pseudo segmentation, B x mask_channels x H x W."""
        logits: Tensor = self.img_model.segmentation_head(features.pyramid.decoder[1])
        return logits

    def project_text(self, phrase_features: Tensor) -> Tensor:
        """Return report embeddings, P x d and not normalised, of phrase features, P x D."""
        projected: Tensor = self.proj_t(phrase_features.unsqueeze(-1))  # P x D x 1 -> P x d x 1
        return projected.squeeze(-1)

    def text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return report embeddings, P x d and not normalised, of token ids and mask, P x T."""
        return self.project_text(self.lm_model(input_ids, attention_mask))


def trunk_outputs(features: ImageFeatures, read: Collection[str] = ()) -> dict[str, Tensor]:
    """Return the outputs of the trunk by name, in the order in which they are exported.

    Args:
        features: output of the image side.
        read: names of the encoder maps to include.

    Returns:
        The `encoder_8`, `encoder_16`, `encoder_32` (B x C x S/stride x S/stride) that are read;
        `decoder_8`, `decoder_4`, `decoder_1` (B x c x S/stride x S/stride) if the decoder ran;
        `pixel_embeddings` B x d x S/32 x S/32; `global_embedding` B x d; and `global_features`
        B x C, the mean of the encoder's deepest map.
    """
    encoder, decoder = features.pyramid.encoder, features.pyramid.decoder
    maps = {f"encoder_{stride}": level for stride, level in encoder.items()}
    maps = {name: level for name, level in maps.items() if name in read}
    maps |= {f"decoder_{stride}": decoder[stride] for stride in (8, 4, 1) if decoder}
    return maps | {
        "pixel_embeddings": features.pixel_embeddings,
        "global_embedding": features.embedding,
        "global_features": features.pyramid.deep.mean(dim=(2, 3)),
    }


def similarity_map(pixel_embeddings: Tensor, phrase_embeddings: Tensor) -> Tensor:
    """Return the cosine of each projected pixel with each phrase.

    Source: zero-shot grounding of G2D, section 4.

    Args:
        pixel_embeddings: B x d x h x w.
        phrase_embeddings: P x d.

    Returns:
        B x P x h x w in [-1, 1].
    """
    pixels = F.normalize(pixel_embeddings, dim=1).flatten(2)  # B x d x hw
    phrases = F.normalize(phrase_embeddings, dim=1)
    # P x d @ B x d x hw -> B x P x hw -> B x P x h x w
    maps: Tensor = (phrases @ pixels).unflatten(2, pixel_embeddings.shape[2:])
    return maps
