"""Evaluate a run in source pixels, through the same `radiograph.heads` that the service uses.

calibrate   validation split: temperature and thresholds -> HeadSpecs
statistics  training split: what usual radiographs look like -> out-of-domain score
evaluate    test split: metrics per data set with 95 % intervals
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf

from radiograph import heads, raster
from radiograph.findings import code_of
from radiograph.geometry import Box, Geometry
from radiograph.manifest import HeadSpec, Label, Metric, Task
from radiograph.preprocess import preprocess
from training.data.cache import BOX_SOURCES, MASK_SOURCES, read_mask, split_lungs
from training.data.labels import is_normal, truth
from training.data.phrases import HELD_OUT
from training.data.tables import Row, Table
from training.inference import FloatArray, TrainedModel
from training.metrics import (
    BoxesOfImage,
    Estimate,
    auroc,
    average_precision,
    bootstrap,
    dice,
    fit_temperature,
    iou,
    youden_threshold,
)
from training.progress import track

GROUND_HEADS = {"regions": "aligned", "similarity": "zero_shot"}
KINDS = {"findings": Task.CLASSIFY, "anatomy": Task.SEGMENT, "boxes": Task.DETECT}
DETECT_IOU = 0.5
USABLE_F1 = 0.3
"""A box label that stays below it on validation is withheld."""
USABLE_DICE = 0.8
"""A mask label that stays below it on validation is withheld."""


@dataclass(frozen=True)
class Seen:
    """One radiograph, what is known of it, and what the trunk makes of it.

    Attributes:
        masks: structure -> rows x columns bool; counted: False where it is not annotated.
        boxes: label -> boxes in source pixels; a label is missing where it is not known.
        features: the trunk's outputs, batch axis 1.
    """

    row: Row
    geometry: Geometry
    masks: dict[str, NDArray[np.bool_]]
    counted: NDArray[np.bool_]
    boxes: dict[str, list[Box]]
    features: dict[str, FloatArray]


def see(
    model: TrainedModel, split: str, licences: Sequence[str], limit: int | None = None
) -> Iterator[Seen]:
    """Read and run the frontal radiographs of one split.

    Args:
        model: whose trunk runs.
        split: train, valid or test.
        licences: licence classes of the rows. Measuring may use more than training.
        limit: at most so many rows of each table, evenly spread.
    """
    data = model.config.data
    for name in data.tables:
        table = Table(data.root, name)
        rows = [
            row
            for row in table.rows()
            if row.split == split and row.licence_class in licences and not row.is_lateral
        ]
        step = max(1, len(rows) // limit) if limit else 1
        for row in track(rows[::step], f"{split} of {name}"):
            yield _see(model, table, row)


def _see(model: TrainedModel, table: Table, row: Row) -> Seen:
    radiograph = raster.read(table.read(row.image))
    tensor, geometry = preprocess(radiograph, model.config.preprocess)
    masks, counted = _true_masks(table, row, geometry)
    return Seen(row, geometry, masks, counted, _true_boxes(row, masks), model.trunk(tensor[None]))


def _true_masks(
    table: Table, row: Row, geometry: Geometry
) -> tuple[dict[str, NDArray[np.bool_]], NDArray[np.bool_]]:
    counted = np.ones((geometry.rows, geometry.columns), dtype=bool)
    found: dict[str, NDArray[np.bool_]] = {}
    raw = {
        name: read_mask(table.read(path))
        for name, path in row.masks.items()
        if name in MASK_SOURCES
    }
    named = [(MASK_SOURCES[name], mask) for name, mask in raw.items()]
    if row.lung_mask and not {"Left lung", "Right lung"} <= {name for name, _ in named}:
        named += list((split_lungs(read_mask(table.read(row.lung_mask))) or {}).items())
    for name, mask in named:
        if mask.shape != counted.shape:
            continue  # another resolution than the image: not a truth in its pixels
        inside = mask > 191
        found[name] = found[name] | inside if name in found else inside
        counted &= (mask < 64) | inside
    return found, counted


def _true_boxes(row: Row, masks: Mapping[str, NDArray[np.bool_]]) -> dict[str, list[Box]]:
    """As in training: the bounds of a mask where there is one, else the drawn boxes."""
    boxes: dict[str, list[Box]] = {"Lung opacity": []} if is_normal(row) else {}
    for source, box in row.boxes:
        if label := BOX_SOURCES.get(source):
            boxes.setdefault(label, []).append(box)
    for name in ("Left lung", "Right lung"):
        if name in masks and masks[name].any():
            rows, columns = np.nonzero(masks[name])
            boxes[name] = [(columns.min(), rows.min(), columns.max() + 1.0, rows.max() + 1.0)]
    return boxes


def head_output(model: TrainedModel, name: str, seen: Seen) -> dict[str, FloatArray]:
    """Raw outputs of a head that needs no phrase, for one image."""
    return {key: value[0] for key, value in model.head(name, seen.features).items()}


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
    found = _detections(model, head, valid)
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


def _detections(
    model: TrainedModel, head: HeadSpec, images: Sequence[Seen]
) -> dict[str, list[BoxesOfImage | None]]:
    """Label -> for each image its boxes down to a low score; None where the truth is not known."""
    low = head.model_copy(
        update={"labels": tuple(x.model_copy(update={"threshold": 0.05}) for x in head.labels)}
    )
    found: dict[str, list[BoxesOfImage | None]] = {label.name: [] for label in head.labels}
    for seen in images:
        answer = heads.detect(low, head_output(model, "boxes", seen), seen.geometry)
        for label in head.labels:
            if label.name not in seen.boxes:
                found[label.name].append(None)
                continue
            mine = [a for a in answer if a.name == label.name]
            found[label.name].append(
                BoxesOfImage(
                    tuple(a.score for a in mine),
                    tuple(a.box for a in mine),
                    tuple(seen.boxes[label.name]),
                )
            )
    return found


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
        valid: the threshold is 1.15 times the 99.5th percentile of their scores.
    """
    features = np.stack([seen.features["global_features"][0] for seen in train]).astype(np.float64)
    fitted = LedoitWolf().fit(features)
    usual = Statistics(
        fitted.location_.astype(np.float32), fitted.precision_.astype(np.float32), 1.0, ""
    )
    scores = [usual.score(seen.features["global_features"][0]) for seen in valid]
    threshold = 1.15 * float(np.percentile(scores, 99.5))
    rule = "1.15 x the 99.5th percentile of the validation split's scores"
    return Statistics(usual.mean, usual.precision, round(threshold, 4), rule)


def evaluate(
    model: TrainedModel, specs: Mapping[str, HeadSpec], test: Sequence[Seen]
) -> tuple[Metric, ...]:
    """Every metric of every head, per data set."""
    metrics: list[Metric] = []
    for name in dict.fromkeys(seen.row.table for seen in test):
        images = [seen for seen in test if seen.row.table == name]
        if "findings" in specs:
            metrics += _evaluate_findings(model, specs["findings"], name, images)
        if "anatomy" in specs:
            metrics += _evaluate_masks(model, specs["anatomy"], name, images)
        if "boxes" in specs:
            metrics += _evaluate_boxes(model, specs["boxes"], name, images)
        for head in GROUND_HEADS:
            if head in specs:
                metrics += _evaluate_grounding(model, head, specs[head], name, images)
    return tuple(metric for metric in metrics if np.isfinite(metric.value))


def _metric(
    images: Sequence[Seen],
    statistic: Callable[[NDArray[np.intp]], float],
    about: tuple[str, Task, str, str],
) -> Metric:
    data, task, label, name = about
    patients = [seen.row.patient_id for seen in images]
    undefined = float("nan")
    nothing = Estimate(undefined, undefined, undefined, 0)
    found = bootstrap(statistic, patients) if images else nothing
    low, high = (v if np.isfinite(v) else found.value for v in (found.low, found.high))
    return Metric(
        data=data, split="test", task=task, label=label, metric=name, n=found.n,
        value=round(found.value, 4), low=round(low, 4), high=round(high, 4),
    )  # fmt: skip


def _evaluate_findings(
    model: TrainedModel, head: HeadSpec, data: str, images: Sequence[Seen]
) -> Iterator[Metric]:
    for k, label in enumerate(head.labels):
        known = [seen for seen in images if label.name in truth(seen.row)]
        if not known:
            continue
        positive = np.array([truth(seen.row)[label.name] for seen in known])
        scores = np.array(
            [heads.classify(head, head_output(model, "findings", s))[k].probability for s in known]
        )
        about = (data, Task.CLASSIFY, label.name)
        yield _metric(known, lambda i, s=scores, p=positive: auroc(s[i], p[i]), (*about, "auroc"))  # type: ignore[misc]
        called = scores >= label.threshold
        for name, side in (("sensitivity", positive), ("specificity", ~positive)):
            right = called == positive
            yield _metric(
                known,
                lambda i, r=right, s=side: float(r[i][s[i]].mean()) if s[i].any() else float("nan"),  # type: ignore[misc]
                (*about, name),
            )


def _evaluate_masks(
    model: TrainedModel, head: HeadSpec, data: str, images: Sequence[Seen]
) -> Iterator[Metric]:
    values: dict[str, list[tuple[Seen, float]]] = {}
    measured = _with_withheld(head)
    for seen in images:
        if not seen.masks:
            continue
        answer = heads.segment(measured, head_output(model, "anatomy", seen), seen.geometry, None)
        predicted = {mask.name: mask.mask for mask in answer}
        pairs = {
            name: (predicted[name], seen.masks[name]) for name in predicted if name in seen.masks
        }
        if {"Left lung", "Right lung"} <= set(pairs):
            left, right = pairs["Left lung"], pairs["Right lung"]
            pairs["Both lungs"] = (left[0] | right[0], left[1] | right[1])
        for name, (ours, true) in pairs.items():
            values.setdefault(name, []).append((seen, dice(ours, true, seen.counted)))
    for name, found in values.items():
        scores = np.array([value for _, value in found])
        yield _metric(
            [seen for seen, _ in found],
            lambda i, s=scores: float(s[i].mean()),  # type: ignore[misc]
            (data, Task.SEGMENT, name, "dice"),
        )


def _with_withheld(head: HeadSpec) -> HeadSpec:
    """The head with its withheld labels shown at 0.5: the card says how poor they are."""
    labels = tuple(
        label.model_copy(update={"threshold": 0.5}) if label.withheld else label
        for label in head.labels
    )
    return head.model_copy(update={"labels": labels})


def _evaluate_boxes(
    model: TrainedModel, head: HeadSpec, data: str, images: Sequence[Seen]
) -> Iterator[Metric]:
    for label, found in _detections(model, head, images).items():
        pairs = [(seen, f) for seen, f in zip(images, found, strict=True) if f is not None]
        boxes = [f for _, f in pairs]
        yield _metric(
            [seen for seen, _ in pairs],
            lambda i, b=boxes: average_precision([b[k] for k in i], DETECT_IOU),  # type: ignore[misc]
            (data, Task.DETECT, label, "ap50"),
        )


def _evaluate_grounding(
    model: TrainedModel, name: str, head: HeadSpec, data: str, images: Sequence[Seen]
) -> Iterator[Metric]:
    """Does the peak lie in the structure, for wordings never trained on, and not for absent ones.

    Also: does something absent score lower than the lungs, and is pneumonia told by its phrase.
    """
    method = head.method or ""
    wordings = {concept: list(texts) for concept, texts in HELD_OUT.items()}
    wordings["left lung"].insert(0, "left lung")
    wordings["right lung"].insert(0, "right lung")
    features = {concept: model.text(texts) for concept, texts in wordings.items()}
    targets = {"left lung": "Left lung", "right lung": "Right lung", "heart": "Cardiomediastinum"}
    peaks: dict[str, list[tuple[Seen, float]]] = {}
    order: list[tuple[Seen, float]] = []
    findings: list[tuple[Seen, float]] = []
    pneumonia = model.text(["pneumonia"])
    for seen in images:
        scores: dict[str, list[float]] = {}
        for concept, texts in wordings.items():
            inputs = seen.features | {"phrase_features": features[concept]}
            raw = {k: v[0] for k, v in model.head(name, inputs).items()}
            answers = heads.ground(head, raw, texts, seen.geometry)
            scores[concept] = [answer.similarity for answer in answers]
            mask = seen.masks.get(targets.get(concept, ""))
            if mask is None:
                continue
            inside = [
                a.peak is not None and bool(mask[int(a.peak[1]), int(a.peak[0])]) for a in answers
            ]
            if concept != "heart":
                peaks.setdefault(concept, []).append((seen, float(inside[0])))
            others = inside if concept == "heart" else inside[1:]
            peaks.setdefault(f"{concept}, paraphrases", []).append((seen, float(np.mean(others))))
        present = scores["left lung"] + scores["right lung"]
        order.append((seen, float(np.mean([p > a for p in present for a in scores["absent"]]))))
        if "Pneumonia" in truth(seen.row):
            inputs = seen.features | {"phrase_features": pneumonia}
            raw = {k: v[0] for k, v in model.head(name, inputs).items()}
            answer = heads.ground(head, raw, ["pneumonia"], seen.geometry)[0]
            findings.append((seen, answer.similarity))
    for concept, found in peaks.items():
        yield _mean_metric(found, (data, Task.GROUND, concept, f"pointing ({method})"))
    yield _mean_metric(
        order, (data, Task.GROUND, "present above absent", f"ordered pairs ({method})")
    )
    if findings:
        similarity = np.array([value for _, value in findings])
        positive = np.array([truth(seen.row)["Pneumonia"] for seen, _ in findings])
        yield _metric(
            [seen for seen, _ in findings],
            lambda i: auroc(similarity[i], positive[i]),
            (data, Task.GROUND, "pneumonia", f"auroc ({method})"),
        )


def _mean_metric(found: Sequence[tuple[Seen, float]], about: tuple[str, Task, str, str]) -> Metric:
    values = np.array([value for _, value in found])
    return _metric([seen for seen, _ in found], lambda i: float(values[i].mean()), about)
