"""Measure a run in source pixels, through the same `radiograph.heads` that the service uses.

images of a split + calibrated heads -> metrics per data set with 95 % intervals
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from radiograph import heads
from radiograph.manifest import HeadSpec, Metric, Task
from training.calibrate import DETECT_IOU, GROUND_HEADS
from training.data.labels import truth
from training.data.phrases import DEVELOPMENT, HELD_OUT
from training.inference import TrainedModel
from training.metrics import Estimate, auroc, average_precision, bootstrap, dice
from training.seen import Seen, detections, head_output


def evaluate(
    model: TrainedModel, specs: Mapping[str, HeadSpec], seen: Sequence[Seen], split: str = "test"
) -> tuple[Metric, ...]:
    """Every metric of every head, per data set.

    Args:
        model: the run.
        specs: its calibrated heads.
        seen: the radiographs of one split.
        split: which. Only `test` sees the wordings in `HELD_OUT`; another one is there to
            choose by, and sees those in `DEVELOPMENT`.
    """
    wordings = HELD_OUT if split == "test" else DEVELOPMENT
    metrics: list[Metric] = []
    for name in dict.fromkeys(one.row.table for one in seen):
        images = [one for one in seen if one.row.table == name]
        if "findings" in specs:
            metrics += _evaluate_findings(model, specs["findings"], name, images)
        if "anatomy" in specs:
            metrics += _evaluate_masks(model, specs["anatomy"], name, images)
        if "boxes" in specs:
            metrics += _evaluate_boxes(model, specs["boxes"], name, images)
        for head in GROUND_HEADS:
            if head in specs:
                metrics += _evaluate_grounding(model, head, specs[head], (name, wordings), images)
    return tuple(m.model_copy(update={"split": split}) for m in metrics if np.isfinite(m.value))


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
    for label, found in detections(model, head, images).items():
        pairs = [(seen, f) for seen, f in zip(images, found, strict=True) if f is not None]
        boxes = [f for _, f in pairs]
        yield _metric(
            [seen for seen, _ in pairs],
            lambda i, b=boxes: average_precision([b[k] for k in i], DETECT_IOU),  # type: ignore[misc]
            (data, Task.DETECT, label, "ap50"),
        )


def _evaluate_grounding(
    model: TrainedModel,
    name: str,
    head: HeadSpec,
    asked: tuple[str, Mapping[str, Sequence[str]]],
    images: Sequence[Seen],
) -> Iterator[Metric]:
    """Does the peak lie in the structure, for wordings never trained on, and not for absent ones.

    Also: does something absent score lower than the lungs, and is pneumonia told by its phrase.
    """
    method = head.method or ""
    data = asked[0]
    wordings = {concept: list(texts) for concept, texts in asked[1].items()}
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
            peaks.setdefault(f"{concept}, unseen wordings", []).append(
                (seen, float(np.mean(others)))
            )
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
        order,
        (data, Task.GROUND, "present above absent, unseen wordings", f"ordered pairs ({method})"),
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
