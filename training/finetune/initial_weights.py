"""Initial weights of a fine-tuning: those of a pre-training, and of an earlier fine-tuning."""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from training.config.finetune import FinetuneConfig
from training.config.pretrain import PretrainConfig
from training.engine.checkpoint import read_run
from training.finetune.module import Finetuning
from training.finetune.past_runs import DEFAULT_TEMPERATURE, PastRun, architecture
from training.heads.checks import ChecksHead
from training.model.image_encoder import restart_decoder
from training.refusal import RunRefused, WeightsRefused

_LONGEST_LINE = 300


def load_pretrained(config: FinetuneConfig) -> Finetuning:
    """Build the module and load its initial weights.

    The trunk comes from the pre-training, then trunk and heads from the earlier fine-tuning.
    Heads that the earlier fine-tuning lacks, or has for other labels, keep their fresh weights.

    Raises:
        RunRefused: neither a pre-training nor a model is configured, or a checkpoint is not one
            of its kind or does not fit.
    """
    start = config.start_from
    earlier = read_run(start, FinetuneConfig, "start_from")[0].weights if start else {}
    if config.pretrained is None:
        if config.model is None:
            raise RunRefused("a fine-tuning needs `pretrained` or `model`")
        module = Finetuning(config, config.model, DEFAULT_TEMPERATURE, learns=True)
    else:
        checkpoint, before = read_run(config.pretrained, PretrainConfig, "pretrained")
        model, temperature = architecture([PastRun(before, checkpoint.commit)])
        module = Finetuning(config, model, temperature, learns=True)
        trunk = {k.removeprefix("g2d."): v for k, v in checkpoint.weights.items()}
        with fitting("pretrained", config.pretrained):
            module.g2d.load_state_dict(trunk)
    if start:
        with fitting("start_from", start):
            _load_earlier(module, earlier)
    if config.fresh_decoder:
        restart_decoder(module.g2d.img_model.decoder)
    return module


def repeated_rows(config: FinetuneConfig) -> str | None:
    """Return a notice for a run that would begin with the very batches of the one it starts from.

    Rows, augmentation and phrases are functions of the seed and the step. A run that goes on from
    another with the same seed shows the same images again, changed in the same way.

    Raises:
        RunRefused: the checkpoint is not that of a fine-tuning.
    """
    if config.start_from is None or config.checks is not None or config.words is not None:
        return None
    _, earlier = read_run(config.start_from, FinetuneConfig, "start_from")
    if (earlier.seed, earlier.batch_size) != (config.seed, config.batch_size):
        return None
    return (
        f"start_from: the earlier run has the seed {earlier.seed} too, so that this one repeats "
        "its batches; another seed shows new ones"
    )


@contextmanager
def fitting(key: str, path: Path) -> Iterator[None]:
    """Name the key and the checkpoint when its weights do not fit the model.

    Raises:
        WeightsRefused: loading the weights raised a `RuntimeError`, as PyTorch does.
    """
    try:
        yield
    except RuntimeError as error:
        raise WeightsRefused(f"{key}: {path} does not fit the model: {_misfit(error)}") from error


def _misfit(error: RuntimeError) -> str:
    """Return the most telling line of an error of `load_state_dict`, which has one per tensor."""
    header, *lines = (line.strip() for line in str(error).splitlines())
    lines.sort(key=lambda line: not line.startswith("size mismatch"))
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return textwrap.shorten(lines[0] if lines else header, _LONGEST_LINE) + more


def _load_earlier(module: Finetuning, weights: dict[str, Tensor]) -> None:
    """Load the whole trunk of an earlier fine-tuning, and the heads that fit as a whole."""
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
    config = module.config
    learn = "words" if config.words else "checks" if config.checks else ""
    fresh = module.heads.keys() - fits - ({ChecksHead.name} if learn == "checks" else set())
    if learn and fresh:
        names = ", ".join(sorted(fresh))
        raise WeightsRefused(
            f"start_from: it has no heads {names} of these labels, and only {learn} learn"
        )
    taken = {
        key: value
        for key, value in weights.items()
        if key.startswith("g2d.") or (key.startswith("heads.") and key.split(".")[1] in fits)
    }
    trunk = {key for key in state if key.startswith("g2d.")}
    if missing := sorted(trunk - taken.keys()):
        raise WeightsRefused(f"start_from: its trunk is another one, without {missing[0]}")
    module.load_state_dict(taken, strict=False)
