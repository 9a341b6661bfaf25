"""What a fine-tuning trains: G2D and heads, their losses, and what they start from.

images -> trunk, or a frozen encoder's maps -> features -> each head -> its loss
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config.finetune import FinetuneConfig
from training.config.model import ModelConfig
from training.config.pretrain import PretrainConfig
from training.data.batches.collate import Batch
from training.data.batches.region_targets import RegionTargets
from training.engine.checkpoint import read_checkpoint
from training.finetune.box_losses import box_losses
from training.finetune.frozen_features import Encoded
from training.losses.contrastive import contrastive_loss
from training.losses.segmentation import known_mask_loss
from training.model.g2d import G2D
from training.model.heads import HeadLabels, build_heads, trunk_outputs
from training.model.image_encoder import normalise, restart_decoder
from training.model.text_encoder import Tokens

ALIGNMENT_WEIGHT = 0.1
"""Of the image-report loss beside the heads' losses."""


@dataclass(frozen=True)
class ReportBatch:
    """The reports of a batch.

    Attributes:
        rows: positions in the batch of those that have one.
        tokens: of their reports.
        ids: R int64, equal for reports that say the same.
    """

    rows: list[int]
    tokens: Tokens
    ids: Tensor


@dataclass(frozen=True)
class HeadsBatch:
    """One micro-batch of one process, with what every head needs."""

    images: Batch
    phrases: Tokens
    regions: RegionTargets
    reports: ReportBatch
    encoded: Encoded | None = None


class Finetuning(nn.Module):
    """G2D with its heads."""

    def __init__(self, config: FinetuneConfig, model: ModelConfig, temperature: float) -> None:
        """Build trunk and heads; `load_pretrained` fills the trunk.

        Args:
            config: of the run.
            model: what the trunk is.
            temperature: sigma of its contrastive loss.
        """
        super().__init__()
        self.config, self.model, self.temperature = config, model, temperature
        self.g2d = G2D(model, config.preprocess.size_px)
        labels = HeadLabels(
            config.findings,
            config.masks,
            config.boxes,
            config.regions,
            config.exclusive,
            config.detector,
        )
        self.heads = build_heads(self.g2d, labels, model.encoder.decoder_channels)
        if config.freezes_encoder:
            self.g2d.requires_grad_(requires_grad=False)
        if config.freeze_encoder:
            self.g2d.img_model.decoder.requires_grad_(requires_grad=True)

    def train(self, mode: bool = True) -> "Finetuning":
        """Training mode; what is frozen stays in evaluation mode."""
        super().train(mode)
        if self.config.freezes_encoder:
            self.g2d.eval()
        if self.config.freeze_encoder:
            self.g2d.img_model.decoder.train(mode)
        return self

    @property
    def reads(self) -> set[str]:
        """Names of the features that the heads read."""
        return {name for head in self.heads.values() for name in head.inputs}  # type: ignore[union-attr]

    @property
    def decodes(self) -> bool:
        """Whether a head reads maps of the decoder."""
        return any(name.startswith("decoder_") for name in self.reads)

    @property
    def reads_maps(self) -> bool:
        """Whether a head reads maps of the encoder or the decoder, not only their mean."""
        return self.decodes or any(name.startswith("encoder_") for name in self.reads)

    def features(self, images: Tensor, encoded: Encoded | None = None) -> dict[str, Tensor]:
        """The trunk's outputs by name; the decoder's only where a head reads them.

        Args:
            images: B x 1 x S x S intensities in [0, 1].
            encoded: what the frozen encoder makes of them, where that is known.
        """
        if encoded is None:
            image = normalise(images, self.config.preprocess)
            return trunk_outputs(self.g2d.image(image, decode=self.decodes), self.reads)
        if encoded.maps:
            maps = [level.contiguous(memory_format=torch.channels_last) for level in encoded.maps]
            return trunk_outputs(self.g2d.image_of_maps(maps, decode=self.decodes), self.reads)
        return {"global_features": encoded.deep}

    def answers(self, features: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        """Raw outputs of every head that reads no phrase."""
        names = [name for name in self.heads if name != "regions"]
        return {name: self._run(name, features) for name in names}

    def forward(
        self,
        batch: Batch,
        phrases: Tokens,
        regions: RegionTargets,
        reports: ReportBatch,
        encoded: Encoded | None = None,
    ) -> dict[str, Tensor]:
        """Losses of one batch; those of absent heads are left out."""
        features = self.features(batch.images, encoded)
        losses: dict[str, Tensor] = {}
        if "findings" in self.heads:
            answer = self._run("findings", features)
            losses["findings"] = _findings_loss(answer, batch, exclusive=self.config.exclusive)
        if "anatomy" in self.heads:
            logits = self._run("anatomy", features)["logits"]
            losses["anatomy"] = self.config.anatomy_weight * known_mask_loss(
                logits, batch.masks, batch.masks_known, batch.counted
            )
        if "boxes" in self.heads:
            losses |= box_losses(self.heads["boxes"], features, batch)
        if "regions" in self.heads:
            text = self.g2d.lm_model(phrases.input_ids, phrases.attention_mask)
            answer = self._run("regions", features | {"phrase_features": text})
            losses |= _regions_loss(answer, regions)
        if self.config.aligns:
            losses["vla"] = self._alignment(features["global_embedding"], reports)

        return losses | {"total": sum(losses.values(), torch.zeros(()))}

    def _alignment(self, embeddings: Tensor, reports: ReportBatch) -> Tensor:
        """The image-report loss of the rows that have a report; 0 for fewer than two."""
        if len(reports.rows) < 2:
            return torch.zeros((), device=embeddings.device)
        return ALIGNMENT_WEIGHT * contrastive_loss(
            embeddings[reports.rows],
            self.g2d.text(reports.tokens.input_ids, reports.tokens.attention_mask),
            temperature=self.temperature,
            text_ids=reports.ids,
        )

    def _run(self, name: str, features: dict[str, Tensor]) -> dict[str, Tensor]:
        head = self.heads[name]
        names: tuple[str, ...] = head.inputs  # type: ignore[assignment]
        answer: dict[str, Tensor] = head(*(features[key] for key in names))
        return answer


def _findings_loss(answer: dict[str, Tensor], batch: Batch, *, exclusive: bool) -> Tensor:
    """Cross-entropy of each known label; of those that exclude each other, of the true one."""
    if exclusive:
        true = batch.findings.argmax(dim=1, keepdim=True)
        known = batch.findings_known.all(dim=1).float()
        each = -F.logsigmoid(answer["logits"]).gather(1, true).squeeze(1)
        return (each * known).sum() / known.sum().clamp_min(1)
    loss = F.binary_cross_entropy_with_logits(answer["logits"], batch.findings, reduction="none")
    known = batch.findings_known.float()
    return (loss * known).sum() / known.sum().clamp_min(1)


def _regions_loss(answer: dict[str, Tensor], targets: RegionTargets) -> dict[str, Tensor]:
    """Dice + BCE of each known map, and BCE of presence."""
    logits = answer["logits"].float()
    known = targets.weight.flatten(2).amax(dim=2)
    each = F.binary_cross_entropy_with_logits(logits, targets.maps, reduction="none")
    pixel = (each * targets.weight).sum(dim=(2, 3)) / targets.weight.sum(dim=(2, 3)).clamp_min(1)
    probability = logits.sigmoid() * targets.weight
    wanted = targets.maps * targets.weight
    overlap = (probability * wanted).sum(dim=(2, 3))
    dice = 1 - (2 * overlap + 1) / (probability.sum((2, 3)) + wanted.sum((2, 3)) + 1)
    shown = known * (targets.maps.flatten(2).amax(dim=2) > 0)
    presence = F.binary_cross_entropy_with_logits(
        answer["presence"].float(), targets.presence, reduction="none"
    )
    says = targets.presence_known
    return {
        "regions": (pixel * known).sum() / known.sum().clamp_min(1)
        + (dice * shown).sum() / shown.sum().clamp_min(1),
        "presence": (presence * says).sum() / says.sum().clamp_min(1),
    }


def load_pretrained(config: FinetuneConfig) -> Finetuning:
    """Build the module; fill it from an earlier fine-tuning, or its trunk from a pre-training.

    Heads that the earlier fine-tuning does not have, or has for other labels, start anew.

    Raises:
        ValueError: neither a pre-training nor a model is configured.
        RuntimeError: the earlier fine-tuning has another trunk.
    """
    if config.pretrained is None:
        if config.model is None:
            raise ValueError("a fine-tuning needs `pretrained` or `model`")
        module = Finetuning(config, config.model, 0.07)
    else:
        checkpoint = read_checkpoint(config.pretrained)
        before = PretrainConfig.model_validate_json(checkpoint.config)
        module = Finetuning(config, before.model, before.temperature)
        trunk = {k.removeprefix("g2d."): v for k, v in checkpoint.weights.items()}
        module.g2d.load_state_dict(trunk)
    if config.start_from is not None:
        _fill(module, read_checkpoint(config.start_from).weights)
    if config.fresh_decoder:
        restart_decoder(module.g2d.img_model.decoder)
    return module


def _fill(module: Finetuning, weights: dict[str, Tensor]) -> None:
    """All of the trunk, and the heads that fit as a whole."""
    state = module.state_dict()
    fits = {
        name
        for name in module.heads
        if all(
            key in weights and weights[key].shape == value.shape
            for key, value in state.items()
            if key.startswith(f"heads.{name}.")
        )
    }
    chosen = {
        key: value
        for key, value in weights.items()
        if not key.startswith("heads.") or key.split(".")[1] in fits
    }
    trunk = {key for key in state if not key.startswith("heads.")}
    if missing := sorted(trunk - chosen.keys()):
        raise RuntimeError(f"the earlier fine-tuning has another trunk: no {missing[0]}")
    module.load_state_dict(chosen, strict=False)
