"""Training of the checks on the pixels, on a trunk and heads that stay as they are.

data sets --examples, drawn once--> grids, truth
grids --augment--> frozen encoder --> maps --> checks head --> cross-entropy of known answers
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from radiograph.terminology.checks import Check
from training.config.finetune import FinetuneConfig
from training.data.augmentation.augment import augment
from training.data.batches.prefetch import read_ahead
from training.data.cache.row_counts import count, write_counts
from training.data.checks.examples import Example, answers, draw_example
from training.data.checks.sources import Source, check_sources, sources
from training.data.sampling.sampler import MicroBatchIndex, Sampler, share
from training.engine import trainer
from training.engine.distributed import launch
from training.engine.seeding import batch_seed, seed_everything
from training.finetune.initial_weights import load_pretrained
from training.finetune.module import Finetuning
from training.heads.checks import ChecksHead, to_grid
from training.heads.detectors.detector import ENCODER_MAPS
from training.model.image_encoder import encode, normalise
from training.progress import track

OUTLIER_SHARE = 0.15
"""Share of the examples that show pictures of the data sets of outliers, if there are any."""
_CHUNK = 32


@dataclass(frozen=True)
class ChecksBatch:
    """One micro-batch of one process.

    Attributes:
        maps: maps that the head reads, each B x c x h x w, float16.
        truth: B x checks in {0, 1}.
        known: B x checks bool, False where the answer is not known.
    """

    maps: tuple[Tensor, ...]
    truth: Tensor
    known: Tensor


class ChecksModule(nn.Module):
    """The model of a fine-tuning, of which the checks alone are trained.

    The names of its weights are those of `Finetuning`.
    """

    def __init__(self, finetuning: Finetuning) -> None:
        """Freeze everything but the checks.

        Args:
            finetuning: the model; its modules are shared.
        """
        super().__init__()
        self.g2d, self.heads = finetuning.g2d, finetuning.heads
        self.requires_grad_(requires_grad=False)
        self.heads[ChecksHead.name].requires_grad_(requires_grad=True)
        self.train()

    def train(self, mode: bool = True) -> "ChecksModule":
        """Set the training mode of the checks; everything else stays in evaluation mode."""
        super().train(mode=False)
        self.training = mode
        self.heads[ChecksHead.name].train(mode)
        return self

    def forward(self, batch: ChecksBatch) -> dict[str, Tensor]:
        """Return the mean cross-entropy of the known answers as `checks` and `total`."""
        logits = self.heads[ChecksHead.name](*(level.float() for level in batch.maps))["logits"]
        loss = checks_loss(logits.float(), batch.truth, batch.known)
        return {"checks": loss, "total": loss}


def checks_loss(logits: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Return the sum over the checks of the mean cross-entropy of their known answers.

    Args:
        logits, truth, known: B x checks.
    """
    each = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    counted = known.float()
    return ((each * counted).sum(dim=0) / counted.sum(dim=0).clamp_min(1)).sum()


class ChecksTask:
    """Examples of the checks, encoded once, and the loss of the head.

    Attributes:
        module: the module that is trained.
    """

    def __init__(self, config: FinetuneConfig, module: Finetuning) -> None:
        """Prepare a run; the examples are drawn when the first batch is loaded."""
        self._config, self.module = config, ChecksModule(module)
        self._examples = config.checks.examples if config.checks else 0

    @property
    def rows(self) -> int:
        """Number of examples, which an epoch shows once; at least one joined batch."""
        return max(self._examples, self._config.batch_size * self._config.engine.accumulate)

    def loader(self, world: int) -> Callable[[MicroBatchIndex], ChecksBatch]:
        """Return the function from the index of a micro-batch to the batch."""
        config = self._config
        encoded = self._encode()
        joined = config.batch_size * world
        pool = [n % len(encoded.truth) for n in range(self.rows)]
        sampler = Sampler(pool, joined, config.seed, config.engine.accumulate)

        def load(index: MicroBatchIndex) -> ChecksBatch:
            drawn = sampler.rows(index)
            rows = torch.tensor([drawn[i] for i in share(drawn, index)])
            maps = tuple(level[rows] for level in encoded.maps)
            return ChecksBatch(maps, encoded.truth[rows], encoded.known[rows])

        return load

    def losses(
        self,
        model: Callable[..., dict[str, Tensor]],
        batch: ChecksBatch,
        index: MicroBatchIndex,  # noqa: ARG002 - part of the protocol of a task
    ) -> trainer.Losses:
        """Return the loss of a batch."""
        return model(batch)

    def panel(self, batch: ChecksBatch) -> Tensor | None:  # noqa: ARG002 - likewise
        """Return None: a training of the checks logs no images."""
        return None

    def _encode(self) -> ChecksBatch:
        """Draw all examples, augment them and run the encoder once over each."""
        training = list(sources(self._config, "train"))
        shares = source_shares(training)
        draw = partial(_draw, self._config, training, shares)
        workers = self._config.engine.workers
        numbers = track(range(self._examples), "drawing and encoding examples")
        found = (example for example in read_ahead(draw, numbers, workers, _CHUNK) if example)
        truths: list[Mapping[Check, bool]] = []
        maps: list[tuple[Tensor, ...]] = []
        while chunk := list(islice(found, _CHUNK)):
            maps.append(self._maps(chunk, batch_seed(self._config.seed, len(maps))))
            truths += [example.truth for example in chunk]
        truth, known = answers(truths)
        joined = tuple(torch.cat(level) for level in zip(*maps, strict=True))
        return ChecksBatch(joined, torch.from_numpy(truth), torch.from_numpy(known))

    @torch.no_grad()
    def _maps(self, examples: Sequence[Example], seed: int) -> tuple[Tensor, ...]:
        """Return the maps of some examples on the grid of the head, on the host."""
        config, device = self._config, next(self.module.parameters()).device
        grids = torch.from_numpy(np.stack([example.grid for example in examples])).unsqueeze(1)
        generator = torch.Generator().manual_seed(seed)
        images = augment(grids.float() / 255, None, config.augment, generator).images.to(device)
        levels = encode(self.module.g2d.img_model, normalise(images, config.preprocess))
        read = dict(zip(ENCODER_MAPS, levels[-len(ENCODER_MAPS) :], strict=True))
        return tuple(to_grid(read[name]).half().cpu() for name in ChecksHead.inputs)


def source_shares(training: Sequence[Source]) -> list[float]:
    """Return the share of the examples that each data set gives.

    Among radiographs it grows with the root of the number of rows, so that small sets count.
    """
    roots = [0.0 if source.outlier else len(source.rows) ** 0.5 for source in training]
    outliers = sum(source.outlier for source in training)
    chests = 1 - (OUTLIER_SHARE if outliers else 0)
    return [
        OUTLIER_SHARE / outliers if source.outlier else chests * root / sum(roots)
        for source, root in zip(training, roots, strict=True)
    ]


def _draw(
    config: FinetuneConfig, training: Sequence[Source], shares: Sequence[float], number: int
) -> Example | None:
    """Return an example by its number; None if its picture cannot be read."""
    rng = np.random.default_rng((config.seed, number))
    source = training[rng.choice(len(training), p=shares)]
    row = source.rows[rng.integers(len(source.rows))]
    radiograph = source.radiograph(row)
    if radiograph is None:
        return None
    return draw_example(
        radiograph, config.preprocess, rng, lateral=row.is_lateral, outlier=source.outlier
    )


def finetune_checks(config: FinetuneConfig, out: Path) -> Path:
    """Run or resume a training of the checks.

    Args:
        config: configuration of the run, with `checks`.
        out: folder of the run.

    Returns:
        The path of its last checkpoint.

    Raises:
        RunRefused: the run cannot start as configured; nothing was written.
    """
    check_sources(config)
    fabric = launch(config.engine, config.precision)
    seed_everything(config.seed)
    task = ChecksTask(config, load_pretrained(config))
    if fabric.is_global_zero:
        left_out: Counter[str] = Counter()
        rows = [row for source in sources(config, left_out=left_out) for row in source.rows]
        write_counts(out, count(rows, left_out))
    return trainer.train(config, fabric, task, out)
