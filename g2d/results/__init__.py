"""Results as dataclasses, arrays, tables and pictures."""

from g2d.results.result import (
    Box,
    Cell,
    Detection,
    Finding,
    Heatmap,
    ImageFacts,
    Mask,
    Measurement,
    ModelVersion,
    Notice,
    OutOfDomain,
    Phrase,
    Place,
    Result,
    RunLengths,
    Uncertainty,
)

__all__ = [
    "Box",
    "Cell",
    "Detection",
    "Finding",
    "Heatmap",
    "ImageFacts",
    "Mask",
    "Measurement",
    "ModelVersion",
    "Notice",
    "OutOfDomain",
    "Phrase",
    "Place",
    "Result",
    "RunLengths",
    "Uncertainty",
]
