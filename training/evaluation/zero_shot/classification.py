"""Zero-shot classification: the prompts of a finding are compared with the whole image.

    prompts -> text side -> normalised, averaged, normalised -> one embedding each for + and -
    image -> global embedding --cosine over sigma, softmax over + and - --> probability

The threshold of F1 and accuracy is the one of the best F1 on the validation split. Under
`protocol: mgca` there is also the one of the best F1 on the test split itself, as in MedKLIP's
released code (its accuracy counts scores above the threshold, ours those that reach it). CheXzero's
code averages normalised prompts as well; it takes the softmax of the cosines without sigma, which
ranks alike.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from radiograph.errors import TaskNotOffered
from radiograph.manifest import Metric, Task
from radiograph.postprocess.activations import sigmoid
from training.config.run import DataConfig, Protocol
from training.data.rows.dataset_files import DataError
from training.data.text.zero_shot_prompts import WORDINGS, prompts_of
from training.evaluation.evaluators.estimates import ALL_LABELS, Quantity, estimate
from training.evaluation.predictions import Prediction, predict_split
from training.evaluation.trained_model import (
    TrainedModel,
    never_aligned,
    to_device_of_run,
)
from training.metrics import Ranked, Statistic, best_f1_threshold, f1, macro, share_right
from training.metrics.arrays import BoolArray, FloatArray
from training.metrics.arrays import Float64Array as Scores
from training.metrics.mgca_protocol import SUFFIX

SIMILARITY = "similarity"
LICENCES = ("open", "noncommercial")
"""Licence classes of the measured rows: all of them, since nothing is trained."""


@dataclass(frozen=True)
class Answer:
    """Zero-shot figures of the test split.

    Attributes:
        metrics: figures with their intervals.
        rules: choice of their thresholds, in words.
    """

    metrics: tuple[Metric, ...]
    rules: tuple[str, ...]


def prepare(
    model: TrainedModel, root: Path, table: str, protocol: Protocol = "sound"
) -> TrainedModel:
    """Return the model with one data set and its zero-shot head alone.

    Raises:
        TaskNotOffered: the model's images and text were never aligned.
    """
    if SIMILARITY not in model.heads:
        raise TaskNotOffered(never_aligned(model.runs) or "the run has no zero-shot head")
    data = DataConfig(root=root, tables=(table,), licences=LICENCES, protocol=protocol)
    config = model.config.model_copy(update={"data": data})
    heads = {SIMILARITY: model.heads[SIMILARITY]}
    return to_device_of_run(replace(model, config=config, heads=heads))


@torch.inference_mode()
def embed(model: TrainedModel, texts: Sequence[str]) -> FloatArray:
    """Return the mean direction of some prompts: d float32, normalised.

    Raises:
        ValueError: the embedding is not finite.
    """
    features = torch.from_numpy(model.text(texts)).to(model.device)
    mean = F.normalize(model.module.g2d.project_text(features), dim=1).mean(dim=0)
    found: FloatArray = F.normalize(mean, dim=0).cpu().numpy()
    if not np.isfinite(found).all():
        raise ValueError(f"the embedding of {texts[0]!r} is not finite")
    return found


@dataclass
class ScoredImages:
    """Probabilities and truth of every finding that has prompts, image by image.

    Attributes:
        patients: patient of each image.
        scores: finding -> probability, of each image.
        truths: finding -> truth, of each image.
    """

    patients: list[str] = field(default_factory=list)
    scores: list[Mapping[str, float]] = field(default_factory=list)
    truths: list[Mapping[str, bool]] = field(default_factory=list)

    @property
    def findings(self) -> list[str]:
        """Findings in the order in which they occur."""
        return list(dict.fromkeys(name for each in self.scores for name in each))

    def of(self, finding: str) -> tuple[NDArray[np.intp], Scores, BoolArray]:
        """Return the images whose truth is known, their probabilities, and the truth."""
        rows = [i for i, each in enumerate(self.scores) if finding in each]
        scores = np.array([self.scores[i][finding] for i in rows], dtype=np.float64)
        positive = np.array([self.truths[i][finding] for i in rows], dtype=bool)
        return np.array(rows, dtype=np.intp), scores, positive


class Classifier:
    """Classifier of findings by their prompts, which are embedded once."""

    def __init__(self, model: TrainedModel) -> None:
        """Args: model: a model from `prepare`."""
        self._model = model
        self._pairs: dict[str, FloatArray] = {}

    def probability(self, finding: str, embedding: FloatArray) -> float:
        """Return the softmax of presence over absence of a finding for one image's embedding, d."""
        if finding not in self._pairs:
            prompts = prompts_of(finding)
            both = (embed(self._model, each) for each in (prompts.positive, prompts.negative))
            self._pairs[finding] = np.stack(list(both))
        image = embedding / max(float(np.linalg.norm(embedding)), 1e-12)
        cosines = self._pairs[finding] @ image
        positive, negative = (cosines / self._model.module.temperature).tolist()
        # the softmax of two values is the sigmoid of their difference
        return float(sigmoid(np.array(positive - negative)))

    def score(self, predictions: Iterable[Prediction]) -> ScoredImages:
        """Score every image with a known finding that has prompts.

        Raises:
            ValueError: the embedding of an image is not finite.
        """
        found = ScoredImages()
        for prediction in predictions:
            known = {
                name: true for name, true in prediction.row.findings.items() if name in WORDINGS
            }
            if known:
                embedding = prediction.features["global_embedding"][0]
                if not np.isfinite(embedding).all():
                    raise ValueError(f"the embedding of {prediction.row.image} is not finite")
                found.patients.append(prediction.row.patient_id)
                found.scores.append({name: self.probability(name, embedding) for name in known})
                found.truths.append(known)
        return found


def classify(model: TrainedModel) -> Answer:
    """Measure AUROC, F1 and accuracy of each finding, and their means over the findings.

    Args:
        model: a model from `prepare`.

    Raises:
        DataError: no test image has a finding that there are prompts for.
    """
    data, classifier = model.config.data, Classifier(model)
    name = data.tables[0]
    valid = classifier.score(predict_split(model, "valid", LICENCES))
    test = classifier.score(predict_split(model, "test", LICENCES))
    if not test.patients:
        raise DataError(f"no test image of {name} has a finding that there are prompts for")
    thresholds = {finding: _threshold(valid, finding) for finding in test.findings}
    metrics, rules = _metrics(name, test, thresholds), [_rule(valid, test.findings)]
    if data.protocol == "mgca":
        best = {finding: _threshold(test, finding) for finding in test.findings}
        published = [m for m in _metrics(name, test, best) if not m.metric.endswith("auroc")]
        metrics += [m.model_copy(update={"metric": m.metric + SUFFIX}) for m in published]
        rules.append(f"{SUFFIX.strip()}: best F1 on the test split itself, for each finding")
    return Answer(tuple(m for m in metrics if np.isfinite(m.value)), tuple(rules))


def _threshold(images: ScoredImages, finding: str) -> float:
    _, scores, positive = images.of(finding)
    return best_f1_threshold(scores, positive)


def _rule(valid: ScoredImages, findings: Sequence[str]) -> str:
    unknown = [finding for finding in findings if not valid.of(finding)[2].any()]
    rule = "best F1 on the validation split, for each finding"
    return rule + (f"; 0.5 where that shows none: {', '.join(unknown)}" if unknown else "")


def _metrics(data: str, images: ScoredImages, thresholds: Mapping[str, float]) -> list[Metric]:
    """Return the metrics of each finding, then those of all together."""
    metrics: list[Metric] = []
    together: dict[str, list[tuple[NDArray[np.intp], Statistic]]] = {}
    for finding, threshold in thresholds.items():
        rows, scores, positive = images.of(finding)
        called, patients = scores >= threshold, [images.patients[i] for i in rows]
        each: dict[str, Statistic] = {
            "auroc": Ranked(scores, positive, finding).area,
            "f1": partial(f1, called, positive),
            "accuracy": partial(share_right, called, positive, np.ones_like(positive)),
        }
        for metric, statistic in each.items():
            together.setdefault(f"macro {metric}", []).append((rows, statistic))
            quantity = Quantity(data, Task.CLASSIFY, finding, metric)
            metrics.append(estimate(patients, statistic, quantity))
    if len(thresholds) > 1:
        for metric, labels in together.items():
            quantity = Quantity(data, Task.CLASSIFY, ALL_LABELS, metric)
            metrics.append(estimate(images.patients, partial(macro, labels), quantity))
    return metrics
