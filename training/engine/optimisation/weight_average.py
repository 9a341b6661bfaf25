"""Average of the weights over the steps of a run, which is kept beside the weights themselves.

An average over many steps lies in a flatter part of the loss than the weights of one step, and does
better on data of other sources (Izmailov et al., UAI 2018; Cha et al., NeurIPS 2021).
"""

import torch
from torch import Tensor, nn

_WARM_UP = 10


class WeightAverage:
    """Exponential moving average of the trained weights and of the buffers of a module."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        """Start from the weights that the module has.

        Args:
            module: module that is trained.
            decay: share of the average that a step keeps, in (0, 1). The first steps keep less:
                step n at most (1 + n) / (10 + n).
        """
        self._module, self._decay = module, decay
        self._average = {name: v.detach().float().clone() for name, v in self._changing().items()}

    def update(self, step: int) -> None:
        """Take in the weights after a step.

        Args:
            step: number of the step, from 0.
        """
        new = self._changing()
        share = 1 - min(self._decay, (1 + step) / (_WARM_UP + step))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self._average.values()),
                [new[name].detach().float() for name in self._average],
                share,
            )

    def state(self) -> dict[str, Tensor]:
        """Return a state dict of the module in which averages stand for what changes."""
        state = self._module.state_dict()
        return state | {name: v.to(state[name].dtype) for name, v in self._average.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from the average of a checkpoint."""
        for name, value in self._average.items():
            value.copy_(state[name])

    def _changing(self) -> dict[str, Tensor]:
        """Return what the steps change: trained parameters, and buffers of floating point."""
        trained = {name: p for name, p in self._module.named_parameters() if p.requires_grad}
        buffers = {n: b for n, b in self._module.named_buffers() if b.is_floating_point()}
        return {**trained, **buffers}
