"""Quantisation of a trunk to int8 for processors: Q and DQ operators around those of float32.

    trunk.onnx --fold--> without batch norms --images--> ranges of activations
               --parts in float32--> int8 graph

Weights are int8 for each output channel and activations uint8: with uint8 weights, processors gain
nothing. Weights use 7 of their 8 bits. Processors without VNNI add two products in 16 bits, which
overflow with 8 bits, so that a graph would answer otherwise there. All operators between two
convolutions are quantised as well, because each change to float32 and back costs more than an
addition.

Source: ONNX Runtime, "Quantize ONNX models", on `reduce_range` and saturation with U8S8.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from training.export.parity import open_graph
from training.metrics.arrays import FloatArray

OPERATORS = ("Conv", "Add", "Concat", "Resize", "Clip", "Relu", "MaxPool")


class Quantizer:
    """Quantises one trunk, whose ranges are measured once, with any part of it in float32."""

    def __init__(self, source: Path, images: Sequence[FloatArray], folder: Path) -> None:
        """Measure the ranges of the activations.

        Args:
            source: float32 graph.
            images: inputs of the model, 1 x S x S each.
            folder: an empty folder for files that the runtime needs meanwhile.
        """
        self._folded = fold(source, folder / "folded.onnx")
        self._ranges = _ranges(self._folded, images, folder / "augmented.onnx")
        self.model = onnx.load(self._folded)
        """The float32 graph that is quantised: without batch norms."""
        self._image = images[0][np.newaxis]

    def quantize(self, operators: Collection[str]) -> onnx.ModelProto:
        """Return the int8 graph.

        Args:
            operators: names of the operators in int8; there is at least one.
        """
        with _without_advice():
            quantizer = QDQQuantizer(
                onnx.load(self._folded),
                per_channel=True,
                reduce_range=True,
                weight_qType=QuantType.QInt8,
                activation_qType=QuantType.QUInt8,
                tensors_range=self._ranges,
                nodes_to_quantize=sorted(operators),
                nodes_to_exclude=[],
                op_types_to_quantize=list(OPERATORS),
                extra_options={},
            )
            quantizer.quantize_model()
        quantizer.model.topological_sort()
        model: onnx.ModelProto = quantizer.model.model
        return model

    def work(self) -> dict[str, float]:
        """Return the multiplications of each convolution for one image, by name."""
        model = onnx.load(self._folded)
        convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
        outputs = [node.output[0] for node in convolutions]
        known = {output.name for output in model.graph.output}
        model.graph.output.extend(
            onnx.ValueInfoProto(name=name) for name in outputs if name not in known
        )
        maps = open_graph(model.SerializeToString())({"image": self._image})
        weights = {item.name: float(np.prod(item.dims)) for item in model.graph.initializer}
        return {
            node.name: weights[node.input[1]] * float(np.prod(maps[name].shape[2:]))
            for node, name in zip(convolutions, outputs, strict=True)
        }


def fold(source: Path, target: Path) -> Path:
    """Write a graph with constants and batch norms folded into the weights, and return its path.

    Only then a convolution is followed by its activation.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    return target


class _Images(CalibrationDataReader):  # type: ignore[misc] # the package ships no types
    """Images as the calibration asks for them, one at a time."""

    def __init__(self, images: Iterable[FloatArray]) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, FloatArray] | None:
        """Return the next image, 1 x 1 x S x S, by the name of the input; None at the end."""
        image = next(self._images, None)
        return None if image is None else {"image": image[np.newaxis]}


def _ranges(graph: Path, images: Iterable[FloatArray], augmented: Path) -> Any:
    """Return the range of each activation: the means of the smallest and largest value of an image.

    They are a little narrower than the extremes, which single pixels set.
    """
    with _without_advice():
        calibrator = create_calibrator(
            graph,
            list(OPERATORS),
            augmented_model_path=str(augmented),
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"moving_average": True},
        )
        calibrator.collect_data(_Images(images))
        return calibrator.compute_data()


@contextmanager
def _without_advice() -> Iterator[None]:
    """Silence the advice to preprocess the graph, which `fold` has done."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
