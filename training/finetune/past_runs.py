"""The runs that led to a checkpoint, and the architecture that they agree on."""

from collections.abc import Sequence
from dataclasses import dataclass

from radiograph.manifest import DataUse
from training.config.finetune import FinetuneConfig
from training.config.model import ModelConfig
from training.config.pretrain import PretrainConfig
from training.engine.checkpoint import Checkpoint, read_run
from training.engine.run_folder import RUN
from training.refusal import WeightsRefused

DEFAULT_TEMPERATURE = 0.07
"""Sigma of the contrastive loss of a run that starts without a pre-training."""


@dataclass(frozen=True)
class PastRun:
    """A run that led to a model.

    Attributes:
        config: its configuration.
        commit: commit that it was started from.
        data: data sets of it and of the runs before it, as the version says that it was imported
            from; empty if it is no import.
    """

    config: PretrainConfig | FinetuneConfig
    commit: str
    data: tuple[DataUse, ...] = ()


def runs_of(checkpoint: Checkpoint, config: PretrainConfig | FinetuneConfig) -> tuple[PastRun, ...]:
    """Return every run that led to a checkpoint, the first one first and its own one last.

    Args:
        checkpoint: the checkpoint.
        config: its configuration.

    Raises:
        RunRefused: a checkpoint that an earlier run started from is missing.
    """
    data = tuple(DataUse.model_validate_json(text) for text in checkpoint.data)
    this = PastRun(config, checkpoint.commit, data)
    if checkpoint.before is not None:
        earlier = ((RUN.validate_json(text), commit) for text, commit in checkpoint.before)
        return (*(PastRun(past, commit) for past, commit in earlier), this)
    return (*_runs_before(config), this)


def _runs_before(config: PretrainConfig | FinetuneConfig) -> tuple[PastRun, ...]:
    if not isinstance(config, FinetuneConfig):
        return ()
    if config.start_from is not None:
        return runs_of(*read_run(config.start_from, FinetuneConfig, "start_from"))
    if config.pretrained is not None:
        return runs_of(*read_run(config.pretrained, PretrainConfig, "pretrained"))
    return ()


def architecture(runs: Sequence[PastRun]) -> tuple[ModelConfig, float]:
    """Return the model of a run, without initial weights, and its sigma of the contrastive loss.

    Args:
        runs: every run that led to it, the first one first.

    Raises:
        RunRefused: no run says what the model is.
    """
    first, last = runs[0].config, runs[-1].config
    pretrain = first if isinstance(first, PretrainConfig) else None
    model = pretrain.model if pretrain else last.model
    if model is None:
        raise WeightsRefused("the run says neither `pretrained` nor `model`")
    encoder = model.encoder.model_copy(update={"weights": None})
    temperature = pretrain.temperature if pretrain else DEFAULT_TEMPERATURE
    return model.model_copy(update={"encoder": encoder}), temperature
