"""A pre-training in a process of its own.

python -m tests.builders.distributed.run_of_pairs CONFIG OUT CACHE


Options: `--kill-at N` sends SIGKILL to the process when the batch of step N is used; `--fixed`
fixes batch norm and dropout, so that no row depends on how the batch is shared out.
"""

import argparse
import os
import signal
from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from training.config.pretrain import PretrainConfig
from training.data.sampling.sampler import MicroBatchIndex
from training.engine import seeding, trainer
from training.engine.distributed import launch
from training.pretrain.pretrain import Pairs, PretrainTask, prepare_task


def _fix(module: nn.Module) -> None:
    """Set evaluation mode permanently."""
    module.eval()
    for part in module.modules():
        part.train = lambda mode=True, part=part: part  # type: ignore[method-assign,misc]


def _deadly(task: PretrainTask, kill_at: int) -> None:
    losses = task.losses

    def kill_or_go_on(
        model: Callable[..., dict[str, Tensor]], batch: Pairs, index: MicroBatchIndex
    ) -> object:
        if index.step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return losses(model, batch, index)

    task.losses = kill_or_go_on  # type: ignore[method-assign,assignment]


def run(
    config: PretrainConfig, out: Path, cache: Path, *, kill_at: int = -1, fixed: bool = False
) -> None:
    """Run or resume a pre-training in this process."""
    fabric = launch(config.engine, config.precision)
    seeding.seed_everything(config.seed)
    task = prepare_task(config, fabric, cache, out)
    if fixed:
        _fix(task.module)
    _deadly(task, kill_at)
    trainer.train(config, fabric, task, out, task.selector(fabric))


def main() -> None:
    """Run the pre-training that the command line describes."""
    options = argparse.ArgumentParser()
    for name in ("config", "out", "cache"):
        options.add_argument(name, type=Path)
    options.add_argument("--kill-at", type=int, default=-1)
    options.add_argument("--fixed", action="store_true")
    args = options.parse_args()
    config = PretrainConfig.model_validate_json(args.config.read_text())
    run(config, args.out, args.cache, kill_at=args.kill_at, fixed=args.fixed)


if __name__ == "__main__":
    main()
