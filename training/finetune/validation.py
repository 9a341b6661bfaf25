"""The value by which a run selects its weights, measured on the model's grid.

    batches without augmentation -> loss | AUROC | Dice | average precision

It is quick and uncalibrated. The metrics that are reported come from
`training.evaluation.evaluate`, in source pixels.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from radiograph.geometry.geometry import Geometry
from radiograph.manifest import Label
from radiograph.postprocess import heads
from training.data.batches.prefetch import each_tensor
from training.finetune.module import FinetuneBatch, Finetuning
from training.heads.classification import ClassifyHead
from training.heads.detectors.detector import DetectorHead
from training.heads.segmentation import SegmentHead
from training.metrics import BoxesOfImage, auroc, average_precision, dice

Batches = Iterable[FinetuneBatch]
MIN_SCORE = 0.05
"""Boxes with a lower score do not enter the average precision."""


@torch.no_grad()
def validate(module: Finetuning, batches: Batches) -> float:
    """Return the value that the run selects by; the module is in training mode afterwards.

    Args:
        module: module on its device.
        batches: batches on the host.

    Raises:
        ValueError: the configuration selects by nothing.
    """
    if module.config.choose is None:
        raise ValueError("the run does not choose")
    device = next(module.parameters()).device
    module.eval()
    try:
        moved = (each_tensor(batch, lambda tensor: tensor.to(device)) for batch in batches)
        return _CRITERIA[module.config.choose.by](module, moved)
    finally:
        module.train()


def _mean_loss(module: Finetuning, batches: Batches) -> float:
    """Return the mean loss of the batches, weighted by their rows."""
    total, rows = 0.0, 0
    for batch in batches:
        count, images = len(batch.labelled.radiographs.pixels), batch.images()
        losses = module(images, batch)
        # Not the adversary's: it is low where the trunk tells the data sets apart.
        loss = losses["total"] - losses.get("source", 0)
        total, rows = total + float(loss) * count, rows + count
    return total / rows


def _mean_auroc(module: Finetuning, batches: Batches) -> float:
    """Return the mean over the findings that are both present and absent; 0.5 without one."""
    logits: list[Tensor] = []
    positive: list[Tensor] = []
    known: list[Tensor] = []
    for batch in batches:
        truth = batch.labelled.radiographs
        logits.append(_outputs(module, batch, ClassifyHead.name)["logits"].cpu())
        positive.append(truth.findings.cpu() > 0.5)
        known.append(truth.findings_known.cpu())
    scores, true, counts = (torch.cat(each).numpy() for each in (logits, positive, known))
    # N x K arrays, transposed to one column for each finding
    columns = zip(scores.T.astype(float), true.T, counts.T, strict=True)
    return _finite_mean([auroc(column[k], t[k]) for column, t, k in columns], default=0.5)


def _mean_dice(module: Finetuning, batches: Batches) -> float:
    """Return the mean Dice at probability 0.5 of all annotated structures; 0 without one."""
    values: list[float] = []
    for batch in batches:
        truth = batch.labelled.radiographs
        predicted = (_outputs(module, batch, SegmentHead.name)["logits"] > 0).cpu().numpy()
        true, counted = truth.masks.cpu().numpy() > 0.5, truth.counted.cpu().numpy()
        for image, structure in truth.masks_known.cpu().nonzero().tolist():
            inside = counted[image, 0] > 0.5
            values.append(dice(predicted[image, structure], true[image, structure], inside))
    return float(np.mean(values)) if values else 0.0


def _mean_ap50(module: Finetuning, batches: Batches) -> float:
    """Return the mean average precision of the labels that are drawn somewhere; 0 without one."""
    name, size = DetectorHead.name, module.config.preprocess.size_px
    labels = tuple(Label(name=name, threshold=MIN_SCORE) for name in module.config.boxes)
    spec = module.trained_heads[name].spec_of(labels)
    grid = Geometry.fit(size, size, size)  # source pixels are those of the grid
    found: dict[str, list[BoxesOfImage]] = {label.name: [] for label in labels}
    for batch in batches:
        truth = batch.labelled.radiographs
        raw = {k: v.cpu().numpy() for k, v in _outputs(module, batch, name).items()}
        for n, known in enumerate(truth.boxes_known.tolist()):
            boxes = heads.detect(spec, {key: value[n] for key, value in raw.items()}, grid)
            for number, label in enumerate(labels):
                if known[number]:
                    true = truth.boxes[n].get(number, torch.zeros(0, 4)) * size
                    found[label.name].append(_boxes_of(label.name, boxes, true))
    each = [average_precision(images, 0.5) for images in found.values()]
    return _finite_mean(each, default=0.0)


def _boxes_of(label: str, predicted: Iterable[heads.Detection], true: Tensor) -> BoxesOfImage:
    """Return the predicted and true boxes of one label in one image, in pixels of the grid."""
    of_label = [box for box in predicted if box.name == label]
    return BoxesOfImage(
        tuple(box.score for box in of_label),
        tuple(box.box for box in of_label),
        tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in true.tolist()),
    )


def _finite_mean(values: list[float], default: float) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else default


def _outputs(module: Finetuning, batch: FinetuneBatch, head: str) -> dict[str, Tensor]:
    return module.outputs(module.features(batch.images(), batch.encoded))[head]


_CRITERIA: dict[str, Callable[[Finetuning, Batches], float]] = {
    "loss": _mean_loss,
    "auroc": _mean_auroc,
    "dice": _mean_dice,
    "ap50": _mean_ap50,
}
"""Values of `choose.by` and how they are measured."""
