"""Calibrate a run: what the manifest says beside the weights, chosen on the validation split.

calibrate   temperature and thresholds -> HeadSpecs
statistics  what usual radiographs look like (training split) -> out-of-domain score
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.covariance import LedoitWolf

from radiograph.findings import code_of
from radiograph.manifest import HeadSpec, Label, Task
from training.data.labels import truth
from training.inference import FloatArray, TrainedModel
from training.metrics import BoxesOfImage, dice, fit_temperature, iou, youden_threshold
from training.seen import Seen, detections, head_output

GROUND_HEADS = {"regions": "aligned", "similarity": "zero_shot"}
KINDS = {"findings": Task.CLASSIFY, "anatomy": Task.SEGMENT, "boxes": Task.DETECT}
DETECT_IOU = 0.5
USABLE_F1 = 0.3
"""A box label that stays below it on validation is withheld."""
USABLE_DICE = 0.8
"""A mask label that stays below it on validation is withheld."""
USUAL_SHARE = 99.0
"""Percent of the validation split that must count as usual."""


def calibrate(model: TrainedModel, valid: Sequence[Seen]) -> dict[str, HeadSpec]:
    """The heads as the manifest describes them; what is chosen, is chosen on `valid`."""
    specs: dict[str, HeadSpec] = {}
    config = model.config
    labels = {"findings": config.findings, "anatomy": config.masks, "boxes": config.boxes}
    for name, kind in KINDS.items():
        if name in model.heads:
            specs[name] = _head(model, name, kind, tuple(labels[name]))
    for name, method in GROUND_HEADS.items():
        if name in model.heads:
            specs[name] = _head(model, name, Task.GROUND, (), method)
    if "findings" in specs:
        specs["findings"] = _calibrated_findings(model, specs["findings"], valid)
    if "anatomy" in specs:
        specs["anatomy"] = _calibrated_masks(model, specs["anatomy"], valid)
    if "boxes" in specs:
        specs["boxes"] = _calibrated_boxes(model, specs["boxes"], valid)
    return specs


def _head(
    model: TrainedModel, name: str, kind: Task, labels: tuple[str, ...], method: str | None = None
) -> HeadSpec:
    return HeadSpec(
        kind=kind,
        file=f"heads/{name}.onnx",
        inputs=model.heads[name].inputs,
        labels=tuple(Label(name=label, code=code_of(label)) for label in labels),
        method=method,
    )


def _calibrated_findings(model: TrainedModel, head: HeadSpec, valid: Sequence[Seen]) -> HeadSpec:
    logits = np.stack([head_output(model, "findings", seen)["logits"] for seen in valid])
    truths = [truth(seen.row) for seen in valid]
    known = np.array([[label.name in t for label in head.labels] for t in truths])
    positive = np.array([[t.get(label.name, False) for label in head.labels] for t in truths])
    temperature = fit_temperature(logits[known].astype(float), positive[known])
    probability = 1 / (1 + np.exp(-logits.astype(float) / temperature))
    chosen = [
        youden_threshold(probability[known[:, k], k], positive[known[:, k], k])
        for k in range(len(head.labels))
    ]
    labels = [
        label.model_copy(update={"threshold": round(t, 4)})
        for label, t in zip(head.labels, chosen, strict=True)
    ]
    rule = "Youden's index, for each label, on the validation split"
    return head.model_copy(
        update={"labels": tuple(labels), "temperature": temperature, "threshold_rule": rule}
    )


def _calibrated_masks(model: TrainedModel, head: HeadSpec, valid: Sequence[Seen]) -> HeadSpec:
    """For each label the threshold of best mean Dice; withheld below `USABLE_DICE`."""
    grid = np.arange(0.2, 0.81, 0.05)
    scores: dict[str, list[list[float]]] = {label.name: [] for label in head.labels}
    for seen in valid:
        if not seen.masks:
            continue
        logits = head_output(model, "anatomy", seen)["logits"]
        for k, label in enumerate(head.labels):
            if label.name in seen.masks:
                probability = (1 / (1 + np.exp(-logits[k]))).astype(np.float32)
                inside, true = seen.geometry.map_to_source(probability), seen.masks[label.name]
                scores[label.name].append([dice(inside >= cut, true, seen.counted) for cut in grid])
    labels = []
    for label in head.labels:
        found = scores[label.name]
        means = np.mean(found, axis=0) if found else np.zeros(len(grid))
        best = float(grid[int(np.argmax(means))]) if means.max() >= USABLE_DICE else 1.0
        labels.append(label.model_copy(update={"threshold": round(best, 2)}))
    rule = "best mean Dice on the validation split, for each label; 1.0, withheld, where poor"
    return head.model_copy(update={"labels": tuple(labels), "threshold_rule": rule})


def _calibrated_boxes(model: TrainedModel, head: HeadSpec, valid: Sequence[Seen]) -> HeadSpec:
    """For each label the threshold of best F1 at IoU 0.5.

    A label that stays below `USABLE_F1` gets 1.0, which no score reaches: a box that is
    rarely right must not be shown.
    """
    grid = np.arange(0.1, 0.91, 0.05)
    found = detections(model, head, valid)
    labels = []
    for label in head.labels:
        images = [image for image in found[label.name] if image is not None]
        scores = [_f1(images, cut) for cut in grid]
        best = float(grid[int(np.argmax(scores))]) if max(scores) >= USABLE_F1 else 1.0
        labels.append(label.model_copy(update={"threshold": round(best, 2)}))
    rule = "best F1 at IoU 0.5 on the validation split, for each label; 1.0 where that is poor"
    return head.model_copy(update={"labels": tuple(labels), "threshold_rule": rule})


def _f1(images: Sequence[BoxesOfImage | None], cut: float) -> float:
    """F1 of the boxes that score at least `cut`."""
    hits = predicted = true = 0
    for image in filter(None, images):
        kept = [b for s, b in zip(image.scores, image.predicted, strict=True) if s >= cut]
        free = list(image.truth)
        for box in kept:
            match = next((t for t in free if iou(box, t) >= DETECT_IOU), None)
            if match is not None:
                free.remove(match)
                hits += 1
        predicted, true = predicted + len(kept), true + len(image.truth)
    return 2 * hits / (predicted + true) if predicted + true else 0.0


@dataclass(frozen=True)
class Statistics:
    """Mean (D) and precision (D x D) of the global features, and the largest usual score."""

    mean: FloatArray
    precision: FloatArray
    threshold: float
    threshold_rule: str

    def score(self, features: FloatArray) -> float:
        """Mahalanobis distance over sqrt(D) of one image's features (D)."""
        away = features.astype(np.float64) - self.mean
        squared = float(away @ self.precision @ away)
        return float(np.sqrt(max(squared, 0.0) / len(away)))


def statistics(train: Sequence[Seen], valid: Sequence[Seen]) -> Statistics:
    """What usual radiographs look like, from an even sample of each table.

    Args:
        train: mean and shrunk precision (Ledoit and Wolf 2004) come from these.
        valid: the threshold is the `USUAL_SHARE` percentile of their scores.
    """
    features = np.stack([seen.features["global_features"][0] for seen in train]).astype(np.float64)
    fitted = LedoitWolf().fit(features)
    usual = Statistics(
        fitted.location_.astype(np.float32), fitted.precision_.astype(np.float32), 1.0, ""
    )
    scores = [usual.score(seen.features["global_features"][0]) for seen in valid]
    threshold = float(np.percentile(scores, USUAL_SHARE))
    rule = f"the {USUAL_SHARE:g}th percentile of the validation split's scores"
    return Statistics(usual.mean, usual.precision, round(threshold, 4), rule)
