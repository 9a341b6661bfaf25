"""Golden answers: pixels of a radiograph, and the final answer of a version to them.

    publishing: pixels --preprocess--> graphs --postprocess--> golden_answers.npz
    loading:    the same pixels, the same steps --> must give the same answers

Golden outputs (see `GoldenSpec`) begin with the input of the graphs and end with their raw outputs.
Golden answers also cover what the manifest says about the steps around them: intensities,
temperatures, thresholds, subtypes, cleaning and suppression.

The file holds `pixels` (rows x columns, uint16), `spacing_mm` (2) and, for each head:
    classify, check  probabilities (K), thresholds (K), and if there are subtypes, supertypes (K:
              number of the label that each is a subtype of, -1 for none)
    segment   masks (K x rows x columns, bool)
    detect    boxes (N x 6: label, score, x0, y0, x1, y1), thresholds (K)
    ground    similarity (P), heatmaps (P x h x w), presence (P x 2: probability, threshold; NaN
              where the version does not decide)
Labels and phrases are counted from 0. Phrases are those of the golden outputs.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiograph.errors import InvalidVersion
from radiograph.geometry.geometry import Geometry
from radiograph.image import Radiograph
from radiograph.manifest import HeadSpec, Task
from radiograph.postprocess import heads
from radiograph.postprocess.boxes import pairwise_iou
from radiograph.postprocess.grounding import Grounding
from radiograph.preprocess import PreprocessSpec, preprocess

ANSWERS_NAME = "golden_answers.npz"

MAX_OTHER_PIXELS = 0.005
"""Share of the pixels of a mask that may differ, at its edges."""
_MIN_IOU = 0.9
_SHAPE = 288, 256

Arrays = Mapping[str, NDArray[Any]]


def golden_radiograph() -> Radiograph:
    """Return a made-up radiograph: a body with two dark lungs, ribs and noise."""
    rows, columns = _SHAPE
    y, x = np.mgrid[:rows, :columns] / np.array([rows, columns])[:, None, None]
    body = 0.75 - 0.5 * np.abs(x - 0.5) - 0.2 * np.abs(y - 0.5)
    for centre in (0.3, 0.7):
        lung = ((x - centre) / 0.15) ** 2 + ((y - 0.45) / 0.3) ** 2 < 1
        body = np.where(lung, 0.25 + 0.05 * np.sin(40 * y), body)
    noise = np.random.default_rng(0).normal(0, 0.01, _SHAPE)
    pixels = np.round(np.clip(body + noise, 0, 1) * 65535).astype(np.uint16)
    return Radiograph(pixels, spacing_mm=(1.4, 1.4))


def arrays_of(radiograph: Radiograph, answers: Arrays) -> dict[str, NDArray[Any]]:
    """Return the arrays of the file for a radiograph and the answers to it."""
    spacing = np.array(radiograph.spacing_mm, dtype=np.float64)
    return {"pixels": radiograph.pixels, "spacing_mm": spacing, **answers}


def radiograph_of(recorded: Arrays) -> Radiograph:
    """Return the radiograph of a file.

    Raises:
        InvalidVersion: the file does not hold one.
    """
    pixels, spacing = recorded.get("pixels"), recorded.get("spacing_mm")
    if pixels is None or pixels.ndim != 2 or pixels.dtype != np.uint16 or not pixels.size:
        raise InvalidVersion("golden answers: `pixels` is missing or not rows x columns, uint16")
    if spacing is None or spacing.shape != (2,) or not (spacing > 0).all():
        raise InvalidVersion("golden answers: `spacing_mm` is missing or not two lengths")
    return Radiograph(pixels, spacing_mm=(float(spacing[0]), float(spacing[1])))


def model_input(
    radiograph: Radiograph, spec: PreprocessSpec
) -> tuple[NDArray[np.float32], Geometry]:
    """Return the input of the trunk, 1 x 1 x size x size, and the way back to the pixels."""
    tensor, geometry = preprocess(radiograph, spec)
    return tensor[None], geometry


def answers_of(
    specs: Mapping[str, HeadSpec],
    outputs: Mapping[str, Mapping[str, NDArray[np.float32]]],
    radiograph: Radiograph,
    geometry: Geometry,
    phrases: int,
) -> dict[str, NDArray[Any]]:
    """Return the answers of all heads as the arrays of the file.

    Args:
        specs: the heads by name.
        outputs: raw outputs of each head for a batch of one image.
        radiograph: the radiograph.
        geometry: the way back to its pixels.
        phrases: number of phrases.

    Raises:
        InvalidVersion: an output does not match its head, or is not finite.
    """
    found: dict[str, NDArray[Any]] = {}
    for name, spec in specs.items():
        raw = {output: np.asarray(values)[0] for output, values in outputs[name].items()}
        answer = _answer(spec, raw, radiograph, geometry, phrases)
        found |= {f"{name}.{part}": values for part, values in answer.items()}
    return found


def refuse_other_answers(
    specs: Mapping[str, HeadSpec], recorded: Arrays, answers: Arrays, tolerance: float
) -> None:
    """Compare answers with the recorded ones.

    Args:
        specs: the heads by name.
        recorded: arrays of the file.
        answers: arrays of `answers_of`.
        tolerance: largest difference of a probability.

    Raises:
        InvalidVersion: an answer is missing, is not recorded or differs.
    """
    for name in recorded.keys() - answers.keys():
        if name.rpartition(".")[0] in specs:
            raise InvalidVersion(f"golden answers: `{name}` is no answer of this version")
    for name, now in answers.items():
        before = recorded.get(name)
        if before is None:
            raise InvalidVersion(f"golden answers: `{name}` is missing")
        if not name.endswith(".boxes") and before.shape != now.shape:
            raise InvalidVersion(f"golden answers: `{name}` is {now.shape}, not {before.shape}")
    for name in specs:
        for part in _differing_parts(name, recorded, answers, tolerance):
            raise InvalidVersion(f"golden answers: `{name}.{part}` differs")


def _answer(
    spec: HeadSpec,
    raw: Mapping[str, NDArray[np.float32]],
    radiograph: Radiograph,
    geometry: Geometry,
    phrases: int,
) -> dict[str, NDArray[Any]]:
    """Return the answer of one head by part."""
    thresholds = np.array([label.threshold for label in spec.labels])
    match spec.kind:
        case Task.CLASSIFY | "check":
            findings = heads.classify(spec, raw)
            values = np.array([item.probability for item in findings])
            return {"probabilities": values, "thresholds": thresholds, **_supertypes(spec)}
        case Task.SEGMENT:
            masks = heads.segment(spec, raw, geometry, radiograph.spacing_mm)
            shape = (len(masks), radiograph.rows, radiograph.columns)
            return {"masks": np.array([item.mask for item in masks], np.bool_).reshape(shape)}
        case Task.DETECT:
            order = {label.name: float(index) for index, label in enumerate(spec.labels)}
            boxes = [
                (order[item.name], item.score, *item.box)
                for item in heads.detect(spec, raw, geometry)
            ]
            return {"boxes": np.array(boxes).reshape(-1, 6), "thresholds": thresholds}
        case Task.GROUND:
            names = [str(index) for index in range(phrases)]
            return _grounding_arrays(heads.ground(spec, raw, names, geometry))


def _supertypes(spec: HeadSpec) -> dict[str, NDArray[Any]]:
    """Return the supertypes of a head's labels; nothing if there are none, as in older files."""
    order = {label.name: number for number, label in enumerate(spec.labels)}
    numbers = [order[label.subtype_of] if label.subtype_of else -1 for label in spec.labels]
    return {"supertypes": np.array(numbers)} if max(numbers) >= 0 else {}


def _grounding_arrays(groundings: Iterable[Grounding]) -> dict[str, NDArray[Any]]:
    items = tuple(groundings)
    decisions = [
        (item.presence.probability, item.presence.threshold) if item.presence else (np.nan, np.nan)
        for item in items
    ]
    return {
        "similarity": np.array([item.similarity for item in items]),
        "heatmaps": np.array([item.heatmap for item in items]),
        "presence": np.array(decisions).reshape(-1, 2),
    }


def _differing_parts(
    head: str, recorded: Arrays, answers: Arrays, tolerance: float
) -> Iterable[str]:
    """Yield the parts of a head's answer that differ."""
    for name, now in answers.items():
        if not name.startswith(f"{head}."):
            continue
        part, before = name.removeprefix(f"{head}."), recorded[name]
        match part:
            case "masks":
                other = np.mean(before != now, axis=(1, 2))
                same = bool((other <= MAX_OTHER_PIXELS).all())
            case "thresholds" | "supertypes":
                same = bool(np.array_equal(before, now))
            case "boxes":
                limits = recorded[f"{head}.thresholds"] + tolerance
                same = _all_found(before, now, limits, tolerance)
                same = same and _all_found(now, before, limits, tolerance)
            case _:
                same = np.allclose(before, now, rtol=0, atol=tolerance, equal_nan=True)
        if not same:
            yield part


def _all_found(
    boxes: NDArray[Any], others: NDArray[Any], limits: NDArray[Any], tolerance: float
) -> bool:
    """Return whether every box that surely reaches its threshold has a partner.

    Args:
        boxes, others: N x 6.
        limits: score from which a box of each label surely reaches its threshold.
        tolerance: largest difference of two scores.
    """
    if boxes.shape[1:] != (6,) or others.shape[1:] != (6,):
        return False
    labels = boxes[:, 0]
    if not (np.isfinite(boxes).all() and ((labels >= 0) & (labels < len(limits))).all()):
        return False
    sure = boxes[boxes[:, 1] > limits[labels.astype(int)]]
    overlap = pairwise_iou(sure[:, 2:], others[:, 2:]) >= _MIN_IOU
    same_label = sure[:, None, 0] == others[None, :, 0]
    same_score = np.abs(sure[:, None, 1] - others[None, :, 1]) <= tolerance
    return bool((overlap & same_label & same_score).any(axis=1).all())
