r"""What G2D pre-training minimises: L_VLA + L_PA on radiographs and their reports (section 3).

images -> encoder -> pool -> embedding --L_VLA-- report embedding
                 \-> decoder -> mask logits --L_PA-- pseudo mask(attention, image)
"""

from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor, nn

from radiograph.preprocess import PreprocessSpec
from training.config import PretrainConfig
from training.data.sentences import Report
from training.losses.contrastive import contrastive_loss
from training.losses.pseudo_mask import pseudo_mask
from training.losses.segmentation import pseudo_alignment_loss
from training.model.g2d import G2D
from training.model.text_encoder import Tokens


def normalise(images: Tensor, spec: PreprocessSpec) -> Tensor:
    """Intensities in [0, 1] -> the model's input, as `radiograph.preprocess.normalise` does."""
    return (images - spec.mean) / spec.std


def text_ids(reports: Sequence[Report]) -> Tensor:
    """B int64, equal for reports that say the same, on every process and in every run."""
    digests = [blake2b(r.key.encode(), digest_size=8).digest() for r in reports]
    return torch.tensor([int.from_bytes(d, signed=True) for d in digests], dtype=torch.int64)


class Pretraining(nn.Module):
    """The model and its losses in one forward, so that precision and DDP wrap it whole."""

    def __init__(self, config: PretrainConfig) -> None:
        """Build the model that the configuration describes."""
        super().__init__()
        self.config = config
        self.g2d = G2D(config.model, config.preprocess.size_px)

    def forward(
        self,
        images: Tensor,
        tokens: Tokens,
        text_ids: Tensor | None,
        step: int,  # noqa: ARG002 - of the schedule of the decoder's loss
    ) -> dict[str, Tensor]:
        """Losses of one batch; their mean over all processes is the loss of the joined batch.

        Args:
            images: B x 1 x S x S intensities in [0, 1].
            tokens: of the B reports.
            text_ids: B int64, equal for reports that say the same; None counts each as different.
            step: number of the optimiser step, from 0.
        """
        config = self.config
        segments = config.decoder_loss == "pseudo_segmentation"
        features = self.g2d.image(normalise(images, config.preprocess), decode=segments)
        text = self.g2d.text(tokens.input_ids, tokens.attention_mask)
        losses = {
            "vla": contrastive_loss(
                features.embedding,
                text,
                temperature=config.temperature,
                symmetric=config.symmetric,
                text_ids=text_ids,
                gather=True,
            )
        }
        if segments:
            mask = pseudo_mask(
                features.attention,
                images,
                threshold=config.threshold,
                use_body_mask=config.body_mask,
                smooth=config.smooth,
            )
            losses["pa"] = pseudo_alignment_loss(self.g2d.mask_logits(features), mask)
        return losses | {"total": sum(losses.values(), torch.zeros((), device=images.device))}
