r"""The objective of G2D pre-training: L_VLA + L_PA on radiographs and their reports.

    images -> encoder -> pool -> embedding --L_VLA-- report embedding
                     |                  \--statements-- embeddings of short sentences, on request
                     \-> decoder -> mask logits --L_PA-- pseudo mask(attention, image)
                                            or  --MSE--- image, as an ablation

Source: G2D (Liu et al., NeurIPS 2024), section 3. No operation here reads a value from the
device, so the host never waits for it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.config.pretrain import PretrainConfig
from training.losses.contrastive import contrastive_loss
from training.losses.pseudo_mask import pseudo_mask
from training.losses.segmentation import (
    pseudo_alignment_loss,
    reconstruction_loss,
    released_alignment_loss,
)
from training.losses.statements import statement_loss
from training.model.g2d import G2D, ImageFeatures
from training.model.image_encoder import normalise
from training.model.text_encoder import LowerStates, Tokens


@dataclass(frozen=True)
class Statements:
    """Short statements about the images of a batch.

    Attributes:
        tokens: tokens of U statements.
        truth: B x U int8: 1 true of an image, -1 false, 0 not known.
    """

    tokens: Tokens
    truth: Tensor


class Pretraining(nn.Module):
    """The model and its losses in one forward pass, which precision and DDP can wrap as a whole."""

    def __init__(self, config: PretrainConfig) -> None:
        """Build the model of a configuration; a decoder without a loss is frozen."""
        super().__init__()
        self.config = config
        self.g2d = G2D(config.model, config.preprocess.size_px)
        if config.decoder_loss == "none":
            unet = self.g2d.img_model
            for module in (unet.decoder, unet.segmentation_head):
                module.requires_grad_(requires_grad=False)

    def forward(
        self,
        images: Tensor,
        tokens: Tokens | LowerStates,
        text_ids: Tensor | None,
        step: int,
        statements: Statements | None = None,
    ) -> dict[str, Tensor]:
        """Return the losses of one batch; the mean over processes is that of the joined batch.

        Args:
            images: B x 1 x S x S intensities in [0, 1].
            tokens: tokens of the B reports, or the output of the frozen layers for them.
            text_ids: B int64, equal for reports that say the same; None if all count as different.
            step: number of the optimiser step, from 0.
            statements: short statements; they are contrasted with the images of this process.

        Returns:
            `vla`; `statements` if the configuration asks for them, 0 in a batch without any;
            `pa` or `reconstruction` if the decoder is trained; and `total`, in which the
            decoder's loss counts from its first step on. Before that step its weight is 0, and
            it stays in the sum so that every process has a gradient for every weight.
        """
        config = self.config
        decodes = config.decoder_loss != "none"
        features = self.g2d.image(normalise(images, config.preprocess), decode=decodes)
        reports, said = self._texts(tokens, statements)
        vla = contrastive_loss(
            features.embedding,
            reports,
            temperature=config.temperature,
            symmetric=config.symmetric,
            text_ids=text_ids,
            gather=config.gather_negatives,
        )
        losses, total = {"vla": vla}, vla
        if config.sentences.wanted:
            losses["statements"] = self._statement_loss(features.embedding, said, statements)
            total = total + config.sentences.weight * losses["statements"]
        if not decodes:
            return losses | {"total": total}
        name, value = self.decoder_loss(features, images)
        weight = 1.0 if step >= config.decoder_loss_from_step else 0.0
        return losses | {name: value, "total": total + weight * value}

    def _texts(
        self, tokens: Tokens | LowerStates, statements: Statements | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the embeddings of reports and statements, projected in one batch."""
        encode = self.g2d.lm_model
        if isinstance(tokens, LowerStates):
            reports = encode.upper(tokens.hidden, tokens.attention_mask)
        else:
            reports = encode(tokens.input_ids, tokens.attention_mask)
        if statements is None:
            return self.g2d.project_text(reports), None
        said = encode(statements.tokens.input_ids, statements.tokens.attention_mask)
        both = self.g2d.project_text(torch.cat([reports, said]))
        return both[: len(reports)], both[len(reports) :]

    def _statement_loss(
        self, images: Tensor, said: Tensor | None, statements: Statements | None
    ) -> Tensor:
        if said is None or statements is None:
            return images.new_zeros(())
        return statement_loss(images, said, statements.truth, temperature=self.config.temperature)

    def decoder_loss(self, features: ImageFeatures, images: Tensor) -> tuple[str, Tensor]:
        """Return name and value of the decoder's loss for images, B x 1 x S x S in [0, 1]."""
        logits = self.g2d.mask_logits(features)
        if self.config.decoder_loss == "reconstruction":
            return "reconstruction", reconstruction_loss(logits, images)
        mask = self.target(features.attention, images)
        if self.config.shuffle_masks:  # rolled by one: every image gets the mask of another
            mask = mask.roll(1, dims=0)
        released = self.config.mask_loss == "released"
        loss = released_alignment_loss if released else pseudo_alignment_loss
        return "pa", loss(logits, mask)

    def target(self, attention: Tensor, images: Tensor) -> Tensor:
        """Return the pseudo mask that the decoder is trained on.

        Args:
            attention: B x heads x S/32 x S/32 scores of the pool.
            images: B x 1 x S x S intensities in [0, 1].

        Returns:
            B x mask_channels x S x S in [0, 1].
        """
        config = self.config
        return pseudo_mask(
            attention,
            images,
            threshold=config.threshold,
            body=config.body_rule if config.body_mask else None,
            smooth=config.smooth,
            aggregate_heads=config.model.aggregate_heads,
            upsampling=config.upsampling,
        )
