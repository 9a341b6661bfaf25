"""Metrics as functions of numpy arrays, without any model or data set.

    ranking            AUROC, F1, accuracy and calibration error of scores
    thresholds         decision thresholds: Youden, target sensitivity, best F1; temperature
    overlap            Dice and IoU of masks, image by image
    average_precision  average precision of boxes, matched once for all resamples
    heatmaps           pointing game, contrast-to-noise ratio and region recall of a heat map
    bootstrap          percentile bootstrap interval over patients
    mgca_protocol      the measurements of the published protocol, faults included
    arrays             array types, and the refusal of values that are not finite

A resample is given as counts, how often each image was drawn, so that expensive steps (sorting,
matching) are done once. An undefined metric is NaN; a score that is not finite is refused.
"""

from training.metrics.arrays import Counts
from training.metrics.average_precision import (
    MAP_IOUS,
    BoxesOfImage,
    Matched,
    average_precision,
    match,
)
from training.metrics.bootstrap import Estimate, Statistic, bootstrap, weighted_mean
from training.metrics.heatmaps import contrast_to_noise, points_inside, region_recall
from training.metrics.overlap import dice, mask_iou
from training.metrics.ranking import (
    Ranked,
    argmax_accuracy,
    auroc,
    calibration_error,
    f1,
    macro,
    share_right,
)
from training.metrics.thresholds import (
    balanced_threshold,
    best_f1_threshold,
    fit_temperature,
    sensitivity_threshold,
    youden_threshold,
)

__all__ = [
    "MAP_IOUS",
    "BoxesOfImage",
    "Counts",
    "Estimate",
    "Matched",
    "Ranked",
    "Statistic",
    "argmax_accuracy",
    "auroc",
    "average_precision",
    "balanced_threshold",
    "best_f1_threshold",
    "bootstrap",
    "calibration_error",
    "contrast_to_noise",
    "dice",
    "f1",
    "fit_temperature",
    "macro",
    "mask_iou",
    "match",
    "points_inside",
    "region_recall",
    "sensitivity_threshold",
    "share_right",
    "weighted_mean",
    "youden_threshold",
]
