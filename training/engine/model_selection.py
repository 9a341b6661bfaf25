"""Selection of the best weights of a run by validation, and early stopping.

    every few steps or epochs: validate -> better than before? -> best.ckpt
                              -> `patience` validations without improvement -> the run ends

Only the first process validates; the others receive its values. The state of the selection is a
part of every checkpoint, so that a run that was killed selects the same weights as one that ran
through.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightning.fabric import Fabric
from torch import nn

from training.config.finetune import ChooseConfig
from training.config.pretrain import RetrievalConfig
from training.engine.run_folder import write_whole

BEST = "best.ckpt"


@dataclass(frozen=True)
class BestValidation:
    """The best validation of a run so far. The names of the fields are keys of checkpoints.

    Attributes:
        value: value of that validation; None before the first.
        step: number of steps that had been done.
        since: number of validations since then.
    """

    value: float | None = None
    step: int = 0
    since: int = 0


class ModelSelector:
    """Validates as often as the configuration says, and keeps the best weights.

    Attributes:
        config: criterion, interval and patience.
        best: the best validation so far.
    """

    def __init__(
        self,
        config: ChooseConfig | RetrievalConfig,
        measure: Callable[[], Mapping[str, float]],
        every: int,
    ) -> None:
        """Start without a validation.

        Args:
            config: criterion and patience.
            measure: measures the module in its current state; only the first process calls it.
                The value under the name of the criterion decides.
            every: steps between two validations.
        """
        self.config, self._measure, self._every = config, measure, every
        self.best = BestValidation()

    @property
    def exhausted(self) -> bool:
        """True if the patience has run out."""
        return self.config.patience is not None and self.best.since >= self.config.patience

    def due(self, step: int, steps: int) -> bool:
        """Return whether to validate after `step` of `steps` steps."""
        return step % self._every == 0 or step == steps

    def validate(
        self, fabric: Fabric, folder: Path, model: nn.Module, step: int, extra: dict[str, Any]
    ) -> dict[str, float]:
        """Validate, and save the weights if they are better than all before.

        A value that is not finite is never the best. Of equal values, the first is the best.

        Args:
            fabric: processes of the run.
            folder: folder of the run.
            model: module as the optimiser knows it.
            step: number of steps done.
            extra: entries that are written beside the weights.

        Returns:
            Values for the history: those of this validation, and the step of the best one.
        """
        values = fabric.broadcast(dict(self._measure()) if fabric.is_global_zero else {})
        value = values[self.config.by]
        if self._improves(value):
            self.best = BestValidation(value, step)
            state = {"model": model, "step": step, "valid": value, **extra}
            write_whole(fabric, folder / BEST, state)
        else:
            self.best = BestValidation(self.best.value, self.best.step, self.best.since + 1)
        named = {f"valid_{name}": found for name, found in values.items()}
        return named | {"best_step": float(self.best.step)}

    def _improves(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        best = self.best.value
        if best is None:
            return True
        return value < best if self.config.by == "loss" else value > best

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return asdict(self.best)

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from the state in a checkpoint."""
        self.best = BestValidation(**state)
