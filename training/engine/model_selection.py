"""Choose the best weights of a run by looks at the validation split, and end it in time.

    every so many steps: look -> better? -> best.ckpt
                              -> `patience` looks without a better one -> the run ends

The first process looks, and the others do as it says. What was seen so far is a part of every
checkpoint, so that a run that was killed chooses as one that was not.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightning.fabric import Fabric
from torch import nn

from training.config.finetune import ChooseConfig

BEST = "best.ckpt"


@dataclass(frozen=True)
class Choice:
    """What the looks of a run came to.

    Attributes:
        value: of the best look; None before the first.
        step: after how many steps it was.
        since: looks after it.
    """

    value: float | None = None
    step: int = 0
    since: int = 0


class ModelSelector:
    """Looks at the validation split as often as the configuration says."""

    def __init__(self, config: ChooseConfig, look: Callable[[], float]) -> None:
        """Begin without a look.

        Args:
            config: how often, and for how long.
            look: measures the module as it is; the first process calls it.
        """
        self.config, self._look = config, look
        self.choice = Choice()

    @property
    def ended(self) -> bool:
        """Whether the run has not become better for long enough."""
        return self.config.patience is not None and self.choice.since >= self.config.patience

    def due(self, step: int, steps: int) -> bool:
        """Whether to look after so many steps, of how many in all."""
        return step % self.config.every == 0 or step == steps

    def look(
        self, fabric: Fabric, folder: Path, model: nn.Module, step: int, about: dict[str, Any]
    ) -> dict[str, float]:
        """Look, and keep the weights where they are the best so far, the first of equals.

        A value that is not finite is never the best.

        Args:
            fabric: of the run.
            folder: of the run.
            model: as the optimiser knows it.
            step: steps done.
            about: what is written beside the weights.

        Returns:
            For the log: the value of this look, and the best one.
        """
        value = self._look() if fabric.is_global_zero else 0.0
        value = float(fabric.broadcast(value))
        best = self.choice.value
        if math.isfinite(value) and (best is None or self._better(value, best)):
            self.choice = Choice(value, step)
            state = {"model": model, "step": step, "valid": value, **about}
            partial = folder / f"{BEST}.partial"
            fabric.save(partial, state)
            if fabric.is_global_zero:
                partial.replace(folder / BEST)
        else:
            self.choice = Choice(best, self.choice.step, self.choice.since + 1)
        return {f"valid_{self.config.by}": value, "best_step": float(self.choice.step)}

    def _better(self, value: float, best: float) -> bool:
        return value < best if self.config.by == "loss" else value > best

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return asdict(self.choice)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's."""
        self.choice = Choice(**state)
