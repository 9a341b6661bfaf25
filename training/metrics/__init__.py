"""Metrics, cut by what they measure; all numpy, none knows a model or a data set.

    intervals   a figure with its percentile bootstrap interval over patients
    scores      AUROC, F1, accuracy, calibration error of scores
    thresholds  which score calls a finding: Youden, target sensitivity, best F1; temperature
    masks       Dice and IoU of masks, image by image
    boxes       average precision of boxes, matched once and weighted by a resample
    maps        pointing game, contrast-to-noise, recall of regions of a heat map

A resample is told as counts, how often each image was drawn, so that what is costly (sorting,
matching) is done once. A figure that is not defined is NaN; a score that is not finite is refused.
"""

from training.metrics.average_precision import (
    MAP_IOUS,
    BoxesOfImage,
    Matched,
    average_precision,
    match,
)
from training.metrics.bootstrap import Counts, Estimate, Statistic, bootstrap, weighted_mean
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
