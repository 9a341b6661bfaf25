"""Fine-tuning: heads on the G2D trunk, trained together, so that one pass serves them all.

checkpoint of a pre-training -> G2D + heads -> sum of the heads' losses
                                          (+ the image-report loss, to keep the alignment)
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training import loop
from training.checkpoint import read_checkpoint
from training.config import FinetuneConfig, ModelConfig, PretrainConfig
from training.data.cache import Cache, open_cache
from training.data.phrases import draw
from training.data.sampler import Sampler, Turn, share
from training.data.sentences import report
from training.data.targets import Batch, RegionTargets, load_batch, region_targets
from training.launch import launch
from training.losses.contrastive import contrastive_loss
from training.losses.detection import detection_loss, make_targets
from training.losses.segmentation import known_mask_loss
from training.model.g2d import G2D
from training.model.heads import HeadLabels, build_heads, trunk_outputs
from training.model.text_encoder import Tokens, build_tokenizer, tokenize
from training.tasks.objective import normalise, text_ids

ALIGNMENT_WEIGHT = 0.1
"""Of the image-report loss beside the heads' losses."""


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
        labels = HeadLabels(config.findings, config.masks, config.boxes, config.regions)
        self.heads = build_heads(self.g2d, labels, model.encoder.decoder_channels)
        if config.freeze_trunk:
            self.g2d.requires_grad_(requires_grad=False)

    def train(self, mode: bool = True) -> "Finetuning":
        """Training mode; a frozen trunk stays in evaluation mode."""
        super().train(mode)
        if self.config.freeze_trunk:
            self.g2d.eval()
        return self

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """B x 1 x S x S intensities in [0, 1] -> the trunk's outputs by name."""
        return trunk_outputs(self.g2d.image(normalise(images, self.config.preprocess)))

    def forward(
        self, batch: Batch, phrases: Tokens, regions: RegionTargets, reports: "ReportBatch"
    ) -> dict[str, Tensor]:
        """Losses of one batch; those of absent heads are left out."""
        features = self.features(batch.images)
        losses: dict[str, Tensor] = {}
        if "findings" in self.heads:
            losses["findings"] = _findings_loss(self._run("findings", features), batch)
        if "anatomy" in self.heads:
            logits = self._run("anatomy", features)["logits"]
            losses["anatomy"] = self.config.anatomy_weight * known_mask_loss(
                logits, batch.masks, batch.masks_known, batch.counted
            )
        if "boxes" in self.heads:
            losses |= _boxes_loss(self._run("boxes", features), batch)
        if "regions" in self.heads:
            text = self.g2d.lm_model(phrases.input_ids, phrases.attention_mask)
            answer = self._run("regions", features | {"phrase_features": text})
            losses |= _regions_loss(answer, regions)
        if self.config.keep_alignment and not self.config.freeze_trunk:
            losses["vla"] = self._alignment(features["global_embedding"], reports)

        return losses | {"total": sum(losses.values(), torch.zeros(()))}

    def _alignment(self, embeddings: Tensor, reports: "ReportBatch") -> Tensor:
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


def _findings_loss(answer: dict[str, Tensor], batch: Batch) -> Tensor:
    loss = F.binary_cross_entropy_with_logits(answer["logits"], batch.findings, reduction="none")
    known = batch.findings_known.float()
    return (loss * known).sum() / known.sum().clamp_min(1)


def _boxes_loss(answer: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
    height, width = answer["logits"].shape[-2:]
    targets = make_targets(batch.boxes, batch.boxes_known, height, width)
    losses = detection_loss(answer["logits"], answer["distances"], targets)
    return {name: 0.5 * value for name, value in losses.items()}


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


def training_pool(cache: Cache, repeat: dict[str, int]) -> list[int]:
    """Rows of the training split; those with something rare stand in it more than once.

    Args:
        cache: all rows.
        repeat: `table:<name>`, `masks:<structure>`, `masks:<table>` or `boxes:<label>` -> times.
    """
    pool: list[int] = []
    for i in cache.where("train"):
        sample = cache.samples[i]
        keys = {f"table:{sample.row.table}"} | {f"masks:{name}" for name in sample.known}
        keys |= {f"boxes:{name}" for name, _ in sample.boxes}
        keys |= {f"masks:{sample.row.table}"} if sample.known else set()
        pool += [i] * max([repeat.get(key, 1) for key in keys])
    return pool


class FinetuneTask:
    """Radiographs with what is known of them, and the losses of the heads."""

    def __init__(self, config: FinetuneConfig, cache: Cache) -> None:
        """Args: config: of the run; cache: whose training rows take part."""
        self.config, self.cache = config, cache
        self.pool = training_pool(cache, config.repeat)
        self.rows = len(self.pool)
        self.module: Finetuning = load_pretrained(config)

    def loader(self, world: int) -> Callable[[Turn], HeadsBatch]:
        """A turn -> its rows with all targets; phrases and reports are drawn for all processes."""
        config, text = self.config, self.module.model.text
        tokenizer, lock = build_tokenizer(text), Lock()
        side = config.preprocess.size_px // 4
        joined = config.batch_size * world
        sampler = Sampler(self.pool, joined, config.seed, config.engine.accumulate)

        def tokens_of(texts: Sequence[str]) -> Tokens:
            with lock:  # the tokenizer keeps its padding in itself
                return tokenize(tokenizer, texts, text.max_tokens)

        def load(turn: Turn) -> HeadsBatch:
            seed = config.seed * 1_000_003 + turn.number
            rng = random.Random(seed)
            generator = torch.Generator().manual_seed(seed + _RANKS_APART * turn.rank)
            everyones = sampler.rows(turn)
            phrases = draw(config.phrases_per_batch, rng)
            drawn = [report(self.cache.samples[i].row, rng) for i in everyones]
            mine = share(everyones, turn)
            rows = [everyones[i] for i in mine]
            labels = (config.findings, config.masks, config.boxes)
            batch = load_batch(self.cache, rows, labels, config.augment, generator)
            samples = [self.cache.samples[i] for i in rows]
            regions = region_targets(samples, batch, phrases, side)
            said = [(n, r) for n, i in enumerate(mine) if (r := drawn[i])]
            tokens = tokens_of([r.text for _, r in said] or [""])
            reports = ReportBatch([n for n, _ in said], tokens, text_ids([r for _, r in said]))
            return HeadsBatch(batch, tokens_of([p.text for p in phrases]), regions, reports)

        return load

    def losses(
        self,
        model: Callable[..., dict[str, Tensor]],
        batch: HeadsBatch,
        turn: Turn,  # noqa: ARG002 - of the contract of a task
    ) -> loop.Losses:
        """The losses of `Finetuning`."""
        return model(batch.images, batch.phrases, batch.regions, batch.reports)

    def picture(self, batch: HeadsBatch) -> Tensor | None:  # noqa: ARG002 - likewise
        """None: heads are looked at through `g2d evaluate`."""
        return None


_RANKS_APART = 1_000_000_007
"""So that no two processes augment alike."""


def finetune(config: FinetuneConfig, out: Path, cache_folder: Path) -> Path:
    """Run or resume a fine-tuning; gives the path of its last checkpoint."""
    fabric = launch(config.engine, config.precision)
    loop.seed_everything(config.seed)
    with fabric.rank_zero_first():
        task = FinetuneTask(config, open_cache(config.data, config.preprocess, cache_folder))
    return loop.train(config, fabric, task, out)
