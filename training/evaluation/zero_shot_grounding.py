"""Zero-shot grounding: the map of a finding's prompts over the projected pixels, in source pixels.

    prompts -> one embedding (`zero_shot.embed`)
    pixel embeddings --cosine--> h x w --Geometry, bilinear--> rows x columns --cut--> region

Measured on the images that show the finding, as the published code does: recall of true regions
at IoU 0.1, IoU, Dice, pointing game, contrast-to-noise. The cut of the cosine is that of best mean
Dice on the validation split; under `protocol: mgca` also that on the test split itself.

MedKLIP's released code fixes its cut at 0.008 of an attention that is not ours and repeats cells in
place of interpolating; it has no recall, so the published one is not known to be ours.
"""

from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np

from radiograph.manifest import Metric, Task
from training.data.rows.dataset_files import DataError
from training.data.text.zero_shot_prompts import prompts_of
from training.evaluation.evaluators.estimates import Mean
from training.evaluation.evaluators.grounding import Place, place_of, region_figures
from training.evaluation.predictions import Prediction, predict_split
from training.evaluation.trained_model import TrainedModel
from training.evaluation.zero_shot_classification import LICENCES, Answer, embed
from training.metrics import points_inside
from training.metrics.arrays import BoolArray, FloatArray
from training.metrics.arrays import Float64Array as Figures
from training.metrics.mgca_protocol import SUFFIX

STRUCTURES = {
    "Lung opacity": "Pneumonia",
    "Pneumothorax": "Pneumothorax",
    "Foreign object": "Foreign object",
}
"""Structure, by the name of its masks or boxes -> the finding whose positive prompts ask for it."""
CUTS = np.round(np.arange(-0.5, 0.96, 0.05), 2)
FIXED_CUT = 0.3
"""Where the validation split shows nothing: the middle of the five of BioViL, 0.1 to 0.5."""


class Grounder:
    """Cosine maps of the structures, whose prompts are embedded once."""

    def __init__(self, model: TrainedModel) -> None:
        """Args: model: prepared (`zero_shot.prepare`)."""
        self._texts = {
            structure: embed(model, prompts_of(finding).positive)
            for structure, finding in STRUCTURES.items()
        }

    def heat(self, seen: Prediction, structure: str) -> FloatArray:
        """Rows x columns of the source, cosines."""
        pixels = seen.features["pixel_embeddings"][0]
        norm = np.maximum(np.linalg.norm(pixels, axis=0), 1e-12)
        cosine = np.tensordot(self._texts[structure], pixels, axes=1) / norm
        if not np.isfinite(cosine).all():
            raise ValueError(f"{seen.row.image}: the map of {structure} is not finite")
        return seen.geometry.map_to_source(cosine.astype(np.float32))

    def places(self, images: Iterable[Prediction]) -> Iterable[tuple[Prediction, str, Place]]:
        """Every structure that an image shows."""
        for seen in images:
            for structure in STRUCTURES:
                if (place := place_of(seen, structure)) is not None:
                    yield seen, structure, place


def ground(model: TrainedModel) -> Answer:
    """Figures of each structure on the test split.

    Args:
        model: prepared.

    Raises:
        DataError: no test image shows a structure.
    """
    data, grounder = model.config.data, Grounder(model)
    look = partial(predict_split, model, licences=LICENCES)
    cuts = best_cuts(grounder, look("valid"))
    metrics = _metrics(data.tables[0], grounder, look("test"), cuts)
    if not metrics:
        raise DataError(f"no test image of {data.tables[0]} shows {' or '.join(STRUCTURES)}")
    structures = {m.label for m in metrics}
    rules = [_told("best mean Dice on the validation split", cuts, structures)]
    if data.protocol == "mgca":
        cuts = best_cuts(grounder, look("test"))
        published = _metrics(data.tables[0], grounder, look("test"), cuts)
        metrics += [m.model_copy(update={"metric": m.metric + SUFFIX}) for m in published]
        told = f"{SUFFIX.strip()}: best mean Dice on the test split itself"
        rules.append(_told(told, cuts, structures))
    return Answer(tuple(metrics), tuple(rules))


def _told(how: str, cuts: Mapping[str, float], structures: Iterable[str]) -> str:
    each = [
        f"{name} {cuts[name]:g}"
        if name in cuts
        else f"{name} {FIXED_CUT:g}, fixed: none to choose by"
        for name in sorted(structures)
    ]
    return f"cosine from which a pixel belongs to the region, {how}: {'; '.join(each)}"


def best_cuts(grounder: Grounder, images: Iterable[Prediction]) -> dict[str, float]:
    """Structure -> the cut of best mean Dice; none of a structure that no image shows."""
    curves: dict[str, list[Figures]] = {}
    for seen, structure, place in grounder.places(images):
        curve = dice_curve(grounder.heat(seen, structure), place.mask, seen.counted)
        curves.setdefault(structure, []).append(curve)
    return {name: float(CUTS[np.argmax(np.mean(each, axis=0))]) for name, each in curves.items()}


def dice_curve(heat: FloatArray, truth: BoolArray, counted: BoolArray) -> Figures:
    """Dice at each of `CUTS`, the pixels sorted into them once; the truth is not empty."""
    reached = np.searchsorted(CUTS, heat[counted], side="right")
    inside = truth[counted]
    drawn, hits = (
        np.bincount(each, minlength=len(CUTS) + 1)[::-1].cumsum()[::-1][1:]
        for each in (reached, reached[inside])
    )
    return np.asarray(2 * hits / np.maximum(drawn + inside.sum(), 1))


def _metrics(
    data: str, grounder: Grounder, images: Iterable[Prediction], cuts: Mapping[str, float]
) -> list[Metric]:
    means: dict[tuple[str, str], Mean] = {}
    for seen, structure, place in grounder.places(images):
        heat = grounder.heat(seen, structure)
        found = {"pointing": float(points_inside(heat.astype(np.float64), place.mask))}
        found |= region_figures(heat, cuts.get(structure, FIXED_CUT), place, seen.counted)
        for metric, value in found.items():
            means.setdefault((structure, metric), Mean()).add(seen, value)
    metrics = [mean.metric((data, Task.GROUND, *key)) for key, mean in means.items()]
    return [m for m in metrics if np.isfinite(m.value)]
