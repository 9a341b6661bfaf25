"""Conversion of a trunk to float16 for GPUs; its input and outputs stay float32."""

from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.transformers.float16 import convert_float_to_float16

from training.export.variants.quantization import fold


def to_half(source: Path) -> onnx.ModelProto:
    """Return the float16 graph of a trunk, with casts at its input and outputs.

    Args:
        source: float32 graph.
    """
    with TemporaryDirectory() as folder:
        graph = onnx.load(fold(source, Path(folder) / "folded.onnx"))
    converted = ONNXModel(convert_float_to_float16(graph, keep_io_types=True))
    converted.topological_sort()
    model: onnx.ModelProto = converted.model
    return model
