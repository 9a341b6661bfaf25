"""Variants of an export: its trunk once more in another precision, if it answers as well.

    trunk.onnx --quantise, or halve--> graph --validation split--> drift --gate--.
        ^------------------- more parts in float32 <----------------- refused ---+
                        trunk_int8.onnx, golden_int8.npz, VariantSpec <--accepted'

Heads and thresholds are those of the run, so a run is evaluated before its variants are written.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from radiograph.errors import PublishRefused
from radiograph.manifest import GoldenSpec, HeadSpec, Precision, VariantSpec
from training.evaluation.assessment import RunFolder, digest_of, read_assessment
from training.evaluation.trained_model import TrainedModel
from training.export.onnx_export import ExportedRun, write_export
from training.export.parity import TRUNK, onnx_outputs, open_graph
from training.export.variants.answer_errors import AnswerErrors
from training.export.variants.calibration_images import CalibrationImages, calibration_images
from training.export.variants.drift import (
    LARGEST_LOSS,
    Comparison,
    RunTrunk,
    by_metric,
    compare,
    mean_loss,
)
from training.export.variants.half_precision import to_half
from training.export.variants.quantization import Quantizer
from training.export.variants.sensitivity import choices
from training.export.weight_compression import compress_weights

SCREENED = 20
"""Validation images of each data set by which a variant is refused before it is measured on all;
on so few, only twice the loss refuses it."""
_NAMED = 8
"""Largest number of losses that a line names."""
MIN_TOLERANCE, MAX_TOLERANCE = 2e-3, 0.1
"""Bounds of the tolerance of golden outputs; the upper one is that of the manifest."""


@dataclass(frozen=True)
class VariantPlan:
    """Variants that are asked for.

    Attributes:
        precisions: their precisions.
        images: number of training images that set the ranges of int8.
        limit: largest number of validation images of each data set; None for all.
        largest_loss: loss of a figure above which a variant is refused.
    """

    precisions: tuple[Precision, ...]
    images: int
    limit: int | None = None
    largest_loss: float = LARGEST_LOSS


@dataclass(frozen=True)
class Attempt:
    """A variant that was tried.

    Attributes:
        precision: its precision.
        words: images of the calibration, and parts in float32.
        comparison: the variant beside float32.
    """

    precision: Precision
    words: str
    comparison: Comparison

    @property
    def accepted(self) -> bool:
        """True if the gate accepted the variant."""
        return not self.comparison.refusals

    def __str__(self) -> str:
        if not self.accepted:
            first = self.comparison.refusals[:_NAMED]
            return "; ".join((f"{self.precision} refused: {self.words}", *first))
        losses = ", ".join(
            f"{metric} {mean_loss(drifts):.4f} ({head})"
            for (head, metric), drifts in by_metric(self.comparison.drift).items()
        )
        return f"{self.precision} written: {self.words}; mean losses: {losses}"


@dataclass(frozen=True)
class VariantWriter:
    """Writes the variants of one export.

    Attributes:
        model: the run.
        specs: its calibrated heads by name.
        plan: variants that are asked for.
        images: images that set the ranges of int8; None if that is not asked for.
    """

    model: TrainedModel
    specs: Mapping[str, HeadSpec]
    plan: VariantPlan
    images: CalibrationImages | None

    @classmethod
    def prepare(cls, model: TrainedModel, run: RunFolder, plan: VariantPlan) -> "VariantWriter":
        """Read what the variants need, before anything is exported.

        Raises:
            PublishRefused: the run was not evaluated with the weights that it has now.
            DataError: no image of the training split can be read.
        """
        assessment = read_assessment(run)
        if assessment.weights != model.digest:
            raise PublishRefused(
                "variants are measured with the thresholds of a run, and this one has other "
                f"weights now than those of its last evaluation: g2d evaluate {run.path}"
            )
        images = calibration_images(model, plan.images) if "int8" in plan.precisions else None
        return cls(model, assessment.heads, plan, images)

    def write(self, exported: ExportedRun) -> Iterator[str]:
        """Write every variant that the gate accepts, and yield a line about each attempt.

        Args:
            exported: export of the run, whose `export.json` names the variants afterwards.
        """
        variants: dict[Precision, VariantSpec] = {}
        for precision in self.plan.precisions:
            trunk = exported.folder / TRUNK
            for words, graph in self._int8(trunk) if precision == "int8" else self._float16(trunk):
                attempt = Attempt(precision, words, self._compare(trunk, graph))
                if attempt.accepted:
                    variants[precision] = _write(exported.folder, attempt, graph)
                yield str(attempt)
                if attempt.accepted:
                    break
            else:
                yield f"{precision}: no variant is written; the export in float32 is complete"
        write_export(replace(exported, variants=variants, heads=digest_of(self.specs)))

    def _int8(self, trunk: Path) -> Iterator[tuple[str, onnx.ModelProto]]:
        """Yield int8 graphs with a description, each with more parts in float32."""
        assert self.images is not None  # noqa: S101 - read by `prepare`
        with TemporaryDirectory() as folder:
            quantizer = Quantizer(trunk, self.images.images, Path(folder))
            errors = AnswerErrors(self.model, open_graph(trunk), self.images.images)
            for choice in choices(quantizer, errors):
                kept = ", ".join(("attention pool", *choice.kept))
                words = f"ranges of activations by {self.images}; in float32: {kept}"
                yield words, compress_weights(quantizer.quantize(choice.quantised))

    def _float16(self, trunk: Path) -> Iterator[tuple[str, onnx.ModelProto]]:
        """Yield the float16 graph with a description."""
        words = "no calibration; weights and activations in float16, image and outputs in float32"
        yield words, to_half(trunk)

    def _compare(self, trunk: Path, graph: onnx.ModelProto) -> Comparison:
        """Measure a graph beside that of float32."""
        float32, variant = open_graph(trunk), open_graph(graph.SerializeToString())
        sides: tuple[RunTrunk, RunTrunk] = (
            lambda images: float32({"image": images}),
            lambda images: variant({"image": images}),
        )
        limit, largest_loss = self.plan.limit, self.plan.largest_loss
        if limit is None or limit > SCREENED:
            screened = compare(self.model, self.specs, sides, SCREENED, 2 * largest_loss)
            if screened.refusals:
                return screened
        return compare(self.model, self.specs, sides, limit, largest_loss)


def _write(folder: Path, attempt: Attempt, graph: onnx.ModelProto) -> VariantSpec:
    """Write the graph of an accepted variant with golden outputs of its own."""
    precision = attempt.precision
    trunk, golden = f"trunk_{precision}.onnx", f"golden_{precision}.npz"
    onnx.checker.check_model(graph)
    onnx.save(graph, folder / trunk)
    arrays, tolerance = _golden(folder, trunk, precision)
    np.savez_compressed(folder / golden, allow_pickle=False, **arrays)
    return VariantSpec(
        trunk=trunk,
        golden=GoldenSpec(file=golden, tolerance=tolerance, feature_maps=False),
        calibration=attempt.words,
        drift=attempt.comparison.drift,
        same_decisions=attempt.comparison.same_decisions,
    )


def _golden(
    folder: Path, trunk: str, precision: Precision
) -> tuple[dict[str, NDArray[Any]], float]:
    """Return the golden inputs with the outputs of a variant, and their tolerance.

    The tolerance is twice the largest difference from another way to compute the same: of int8,
    from its operators one by one, as on a processor without kernels of int8; of float16, from
    float32, because this processor has no kernels of float16.
    """
    with np.load(folder / "golden.npz", allow_pickle=False) as file:
        inputs = {name: file[name] for name in file.files if "." not in name}
    outputs = onnx_outputs(folder, inputs, trunk)
    others = onnx_outputs(folder, inputs, trunk if precision == "int8" else TRUNK, fused=False)
    kept = {k: v for k, v in outputs.items() if not k.startswith("trunk.") or v.ndim == 2}
    largest = max(float(np.abs(value - others[name]).max()) for name, value in kept.items())
    return inputs | kept, float(np.clip(2 * largest, MIN_TOLERANCE, MAX_TOLERANCE))
