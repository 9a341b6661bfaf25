r"""G2D: image encoder + decoder, attention pool, text encoder, two projections.

    image  -> img_model.encoder -> V -> proj_v -> attnpool -> image embedding, attention
                       \-> img_model.decoder -> segmentation_head -> mask logits
    report -> lm_model -> proj_t -> report embedding

Module names are those of the released checkpoints (`img_model`, `proj_v`, `attnpool`,
`proj_t`, `lm_model`), so that their state dicts fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from training.config.model import ModelConfig
from training.model.attention_pool import AttentionPool
from training.model.image_encoder import Pyramid, build_unet, pyramid, run_decoder, run_unet
from training.model.text_encoder import TextEncoder


@dataclass(frozen=True)
class ImageFeatures:
    """What the image side gives.

    Attributes:
        pyramid: maps of encoder and decoder.
        pixel_embeddings: B x d x H/32 x W/32, the projected map.
        embedding: B x d, the attention-pooled image embedding, not normalised.
        attention: B x heads x H/32 x W/32.
    """

    pyramid: Pyramid
    pixel_embeddings: Tensor
    embedding: Tensor
    attention: Tensor


class G2D(nn.Module):
    """The model of the paper, any encoder and text encoder."""

    def __init__(self, config: ModelConfig, size_px: int) -> None:
        """Build it for images of size_px x size_px; other sizes work too."""
        super().__init__()
        dim = config.projection_dim
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

    def image(self, images: Tensor, *, decode: bool = True) -> ImageFeatures:
        """B x 1 x H x W, normalised -> features."""
        return self.project(run_unet(self.img_model, images, decode=decode))

    def image_of_maps(self, maps: Sequence[Tensor], *, decode: bool = True) -> ImageFeatures:
        """The same from the encoder's maps, the last of which are of strides 8, 16, 32."""
        height, width = (32 * side for side in maps[-1].shape[-2:])
        decoded = run_decoder(self.img_model, maps, (height, width)) if decode else {}
        return self.project(pyramid(maps, decoded))

    def project(self, pyramid: Pyramid) -> ImageFeatures:
        """The projected map and the pooled embedding beside the maps."""
        pixels = self.proj_v(pyramid.deep)
        pooled = self.attnpool(pixels)
        return ImageFeatures(pyramid, pixels, pooled.embedding, pooled.attention)

    def mask_logits(self, features: ImageFeatures) -> Tensor:
        """The decoder's answer to the pseudo segmentation, B x mask_channels x H x W."""
        logits: Tensor = self.img_model.segmentation_head(features.pyramid.decoder[1])
        return logits

    def project_text(self, phrase_features: Tensor) -> Tensor:
        """P x D phrase features -> P x d report embeddings, not normalised."""
        projected: Tensor = self.proj_t(phrase_features.unsqueeze(-1))
        return projected.squeeze(-1)

    def text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """P x T token ids and mask -> P x d report embeddings, not normalised."""
        return self.project_text(self.lm_model(input_ids, attention_mask))


def similarity_map(pixel_embeddings: Tensor, phrase_embeddings: Tensor) -> Tensor:
    """Cosine of each projected pixel with each phrase (zero-shot grounding, G2D section 4).

    Args:
        pixel_embeddings: B x d x h x w.
        phrase_embeddings: P x d.

    Returns:
        B x P x h x w in [-1, 1].
    """
    pixels = F.normalize(pixel_embeddings, dim=1).flatten(2)
    phrases = F.normalize(phrase_embeddings, dim=1)
    maps: Tensor = (phrases @ pixels).unflatten(2, pixel_embeddings.shape[2:])
    return maps
