"""Raw maps and targets of a YOLOv3 with one map and one prior."""

import torch
from torch import Tensor

from training.losses.yolo import YoloTargets, yolo_targets

ONE_PRIOR = (((0.5, 0.5),),)
"""Priors of one map that has a single prior."""
KNOWN = torch.ones(1, 1, dtype=torch.bool)


def raw_map(*values: float, cells: int = 2, labels: int = 1) -> Tensor:
    """Return a map of one prior, 0 but for the channels of the first cell."""
    level = torch.zeros(1, 1, 5 + labels, cells, cells)
    level[0, 0, : len(values), 0, 0] = torch.tensor(values)
    return level


def target_of(box: tuple[float, ...], known: Tensor = KNOWN, cells: int = 2) -> YoloTargets:
    """Return the targets of one map for one box."""
    boxes = [{0: torch.tensor([box])}]
    (found,) = yolo_targets(boxes, known, [(cells, cells)], ONE_PRIOR)
    return found
