"""How good the heads of a run are on the validation split, on the model's grid, to choose by.

batches without augmentation -> loss | AUROC | Dice | average precision

Quick and without calibration: the reported metrics come from `training.evaluation.evaluate`, in
source pixels.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from radiograph.geometry import Geometry
from radiograph.manifest import HeadSpec, Label, Task
from radiograph.postprocess import heads
from training.data.batches.prefetch import each_tensor
from training.finetune.module import Finetuning, HeadsBatch
from training.metrics import BoxesOfImage, auroc, average_precision, dice

Batches = Iterable[HeadsBatch]
LOWEST_SCORE = 0.05
"""Boxes below it are not looked at."""


@torch.no_grad()
def validate(module: Finetuning, batches: Batches) -> float:
    """What the run is chosen by; the module comes back in training mode.

    Args:
        module: where it is.
        batches: on the host.

    Raises:
        ValueError: the configuration chooses by nothing.
    """
    if module.config.choose is None:
        raise ValueError("the run does not choose")
    device = next(module.parameters()).device
    module.eval()
    try:
        there = (each_tensor(batch, lambda tensor: tensor.to(device)) for batch in batches)
        return _LOOKS[module.config.choose.by](module, there)
    finally:
        module.train()


def _loss(module: Finetuning, batches: Batches) -> float:
    """Mean of the batches' losses, by their rows."""
    total, rows = 0.0, 0
    for batch in batches:
        losses = module(batch.images, batch.phrases, batch.regions, batch.reports, batch.encoded)
        count = len(batch.images.images)
        total, rows = total + float(losses["total"]) * count, rows + count
    return total / rows


def _auroc(module: Finetuning, batches: Batches) -> float:
    """Mean over the findings that are both present and absent; 0.5 where none is."""
    logits: list[Tensor] = []
    positive: list[Tensor] = []
    known: list[Tensor] = []
    for batch in batches:
        logits.append(_answers(module, batch)["findings"]["logits"].cpu())
        positive.append(batch.images.findings.cpu() > 0.5)
        known.append(batch.images.findings_known.cpu())
    scores, true, counts = (torch.cat(each).numpy() for each in (logits, positive, known))
    columns = zip(scores.T.astype(float), true.T, counts.T, strict=True)
    found = [auroc(column[k], truth[k]) for column, truth, k in columns]
    finite = [value for value in found if np.isfinite(value)]
    return float(np.mean(finite)) if finite else 0.5


def _dice(module: Finetuning, batches: Batches) -> float:
    """Of each annotated structure of each image at probability 0.5, then the mean; 0 of none."""
    found: list[float] = []
    for batch in batches:
        answer = (_answers(module, batch)["anatomy"]["logits"] > 0).cpu().numpy()
        true, counted = batch.images.masks.cpu().numpy() > 0.5, batch.images.counted.cpu().numpy()
        for image, structure in batch.images.masks_known.cpu().nonzero().tolist():
            inside = counted[image, 0] > 0.5
            found.append(dice(answer[image, structure], true[image, structure], inside))
    return float(np.mean(found)) if found else 0.0


def _ap50(module: Finetuning, batches: Batches) -> float:
    """Mean over the labels that are drawn somewhere; 0 where none is."""
    config, size = module.config, module.config.preprocess.size_px
    labels = tuple(Label(name=name, threshold=LOWEST_SCORE) for name in config.boxes)
    form = module.heads["boxes"].form
    spec = HeadSpec.model_validate(
        {"kind": Task.DETECT, "file": "x", "inputs": (), "labels": labels, "form": form}
    )
    grid = Geometry.fit(size, size, size)
    found: dict[str, list[BoxesOfImage]] = {label.name: [] for label in labels}
    for batch in batches:
        answer = {k: v.cpu().numpy() for k, v in _answers(module, batch)["boxes"].items()}
        for n, known in enumerate(batch.images.boxes_known.tolist()):
            boxes = heads.detect(spec, {key: value[n] for key, value in answer.items()}, grid)
            for number, label in enumerate(labels):
                if known[number]:
                    drawn = batch.images.boxes[n].get(number, torch.zeros(0, 4)) * size
                    mine = [box for box in boxes if box.name == label.name]
                    found[label.name].append(
                        BoxesOfImage(
                            tuple(box.score for box in mine),
                            tuple(box.box for box in mine),
                            tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in drawn.tolist()),
                        )
                    )
    each = [average_precision(images, 0.5) for images in found.values()]
    finite = [value for value in each if np.isfinite(value)]
    return float(np.mean(finite)) if finite else 0.0


def _answers(module: Finetuning, batch: HeadsBatch) -> dict[str, dict[str, Tensor]]:
    return module.answers(module.features(batch.images.images, batch.encoded))


_LOOKS: dict[str, Callable[[Finetuning, Batches], float]] = {
    "loss": _loss,
    "auroc": _auroc,
    "dice": _dice,
    "ap50": _ap50,
}
