"""Zero-shot grounding: a finding's prompts are compared with the pixel embeddings of an image.

    prompts -> one embedding (`classification.embed`)
    pixel embeddings --cosine--> h x w --Geometry, bilinear--> rows x columns --threshold--> region

Images that show the finding are measured, as in the published code: recall of true regions at
IoU 0.1, IoU, Dice, pointing game and contrast-to-noise. The threshold of the cosine is the one of
the best mean Dice on the validation split; under `protocol: mgca` there is also the one on the test
split itself.

Departures: MedKLIP's released code has a fixed threshold, 0.008 of another attention, and repeats
cells instead of interpolating. It does not compute recall, so that our recall may differ from the
published one.
"""

from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np

from radiograph.manifest import Metric, Task
from training.data.rows.dataset_files import DataError
from training.data.text.zero_shot_prompts import prompts_of
from training.evaluation.evaluators.estimates import ImageMean, Quantity
from training.evaluation.evaluators.grounding import region_figures
from training.evaluation.phrases.regions import TrueRegion, true_region
from training.evaluation.predictions import Prediction, predict_split
from training.evaluation.trained_model import TrainedModel
from training.evaluation.zero_shot.classification import LICENCES, Answer, embed
from training.metrics import points_inside
from training.metrics.arrays import BoolArray, FloatArray
from training.metrics.arrays import Float64Array as Figures
from training.metrics.mgca_protocol import SUFFIX

STRUCTURES = {
    "Lung opacity": "Pneumonia",
    "Pneumothorax": "Pneumothorax",
    "Foreign object": "Foreign object",
}
"""Name of a structure's masks or boxes -> finding whose positive prompts describe it."""
THRESHOLDS = np.round(np.arange(-0.5, 0.96, 0.05), 2)
FIXED_THRESHOLD = 0.3
"""Threshold of structures that the validation split does not show: the middle of BioViL's five, 0.1
to 0.5."""


class Grounder:
    """Cosine maps of the structures; their prompts are embedded once."""

    def __init__(self, model: TrainedModel) -> None:
        """Args: model: a model from `classification.prepare`."""
        self._texts = {
            structure: embed(model, prompts_of(finding).positive)
            for structure, finding in STRUCTURES.items()
        }

    def heat(self, prediction: Prediction, structure: str) -> FloatArray:
        """Return the cosines in source pixels, rows x columns.

        Raises:
            ValueError: the map is not finite.
        """
        pixels = prediction.features["pixel_embeddings"][0]
        norm = np.maximum(np.linalg.norm(pixels, axis=0), 1e-12)
        cosine = np.tensordot(self._texts[structure], pixels, axes=1) / norm
        if not np.isfinite(cosine).all():
            raise ValueError(f"{prediction.row.image}: the map of {structure} is not finite")
        return prediction.geometry.map_to_source(cosine.astype(np.float32))

    def regions(
        self, predictions: Iterable[Prediction]
    ) -> Iterable[tuple[Prediction, str, TrueRegion]]:
        """Yield every structure that an image shows, with its region."""
        for prediction in predictions:
            for structure in STRUCTURES:
                if (region := true_region(prediction, structure)) is not None:
                    yield prediction, structure, region


def ground(model: TrainedModel) -> Answer:
    """Measure each structure on the test split.

    Args:
        model: a model from `classification.prepare`.

    Raises:
        DataError: no test image shows a structure.
    """
    data, grounder = model.config.data, Grounder(model)
    predict = partial(predict_split, model, licences=LICENCES)
    thresholds = best_thresholds(grounder, predict("valid"))
    metrics = _metrics(data.tables[0], grounder, predict("test"), thresholds)
    if not metrics:
        raise DataError(f"no test image of {data.tables[0]} shows {' or '.join(STRUCTURES)}")
    structures = {m.label for m in metrics}
    rules = [_rule("best mean Dice on the validation split", thresholds, structures)]
    if data.protocol == "mgca":
        thresholds = best_thresholds(grounder, predict("test"))
        published = _metrics(data.tables[0], grounder, predict("test"), thresholds)
        metrics += [m.model_copy(update={"metric": m.metric + SUFFIX}) for m in published]
        choice = f"{SUFFIX.strip()}: best mean Dice on the test split itself"
        rules.append(_rule(choice, thresholds, structures))
    return Answer(tuple(metrics), tuple(rules))


def _rule(choice: str, thresholds: Mapping[str, float], structures: Iterable[str]) -> str:
    each = [
        f"{name} {thresholds[name]:g}"
        if name in thresholds
        else f"{name} {FIXED_THRESHOLD:g}, fixed: none to choose by"
        for name in sorted(structures)
    ]
    return f"cosine from which a pixel belongs to the region, {choice}: {'; '.join(each)}"


def best_thresholds(grounder: Grounder, predictions: Iterable[Prediction]) -> dict[str, float]:
    """Return the threshold of the best mean Dice for each structure that an image shows."""
    curves: dict[str, list[Figures]] = {}
    for prediction, structure, region in grounder.regions(predictions):
        curve = dice_curve(grounder.heat(prediction, structure), region.mask, prediction.counted)
        curves.setdefault(structure, []).append(curve)
    best = {name: np.argmax(np.mean(each, axis=0)) for name, each in curves.items()}
    return {name: float(THRESHOLDS[index]) for name, index in best.items()}


def dice_curve(heat: FloatArray, truth: BoolArray, counted: BoolArray) -> Figures:
    """Return the Dice at each of `THRESHOLDS`; `truth` is not empty.

    Each pixel is sorted once into the interval between two thresholds. The sums from the end are
    then the numbers of drawn and of correct pixels at every threshold.
    """
    reached = np.searchsorted(THRESHOLDS, heat[counted], side="right")
    inside = truth[counted]
    drawn, hits = (
        np.bincount(each, minlength=len(THRESHOLDS) + 1)[::-1].cumsum()[::-1][1:]
        for each in (reached, reached[inside])
    )
    return np.asarray(2 * hits / np.maximum(drawn + inside.sum(), 1))


def _metrics(
    data: str,
    grounder: Grounder,
    predictions: Iterable[Prediction],
    thresholds: Mapping[str, float],
) -> list[Metric]:
    means: dict[tuple[str, str], ImageMean] = {}
    for prediction, structure, region in grounder.regions(predictions):
        heat = grounder.heat(prediction, structure)
        found = {"pointing": float(points_inside(heat.astype(np.float64), region.mask))}
        found |= region_figures(
            heat, thresholds.get(structure, FIXED_THRESHOLD), region, prediction.counted
        )
        for metric, value in found.items():
            means.setdefault((structure, metric), ImageMean()).add(prediction, value)
    metrics = [
        mean.figure(Quantity(data, Task.GROUND, *key)).metric() for key, mean in means.items()
    ]
    return [m for m in metrics if np.isfinite(m.value)]
