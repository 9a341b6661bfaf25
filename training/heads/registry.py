"""The registry: every head that a file of this package defines, and the heads of one run."""

import importlib
import inspect
import pkgutil
from pathlib import Path

from torch import nn

from radiograph.manifest import CHECK, Task
from training.config.finetune import FinetuneConfig
from training.heads.head import RunHead
from training.model.g2d import G2D


def _find_heads() -> list[type[RunHead]]:
    """Return the concrete heads that the modules beside this one and below define."""
    folder, package = Path(__file__).parent, __name__.rpartition(".")[0]
    names = [found.name for found in pkgutil.walk_packages([str(folder)], f"{package}.")]
    modules = [importlib.import_module(name) for name in names if name != __name__]
    return [
        member
        for module in modules
        for _, member in inspect.getmembers(module, inspect.isclass)
        if member.__module__ == module.__name__  # not merely imported there
        and issubclass(member, RunHead)
        and not inspect.isabstract(member)
    ]


def _position(head: type[RunHead]) -> tuple[int, str, str]:
    return [*Task, CHECK].index(head.kind), head.name, head.__name__


HEADS: tuple[type[RunHead], ...] = tuple(sorted(_find_heads(), key=_position))
"""All heads in the order of their tasks. Heads are initialised and trained in this order, so a
seed keeps its meaning as long as the heads of a run stay the same."""


def build_heads(config: FinetuneConfig, g2d: G2D) -> nn.ModuleDict:
    """Build the heads of a run, by the names that they are published under."""
    return nn.ModuleDict(
        {head.name: head.build(config, g2d) for head in HEADS if head.requested(config)}
    )
