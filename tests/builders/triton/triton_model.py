"""Model of Triton's Python backend that replaces Triton's ONNX Runtime backend.

The build of Triton from the package index has the Python backend only. A folder `onnxruntime/`
with this file among its backends is the backend of that name to Triton, so the configurations
under test are those of production.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)  # the backend's Python ignores it

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import triton_python_backend_utils as pb  # type: ignore[import-not-found]  # noqa: E402


class TritonPythonModel:
    """One version of one Triton model."""

    def initialize(self, args: dict[str, Any]) -> None:
        folder = Path(args["model_repository"]) / args["model_version"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            folder / "model.onnx", options, providers=["CPUExecutionProvider"]
        )
        config = json.loads(args["model_config"])
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._outputs = [tensor["name"] for tensor in config["output"]]

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        feeds = {
            name: np.from_dlpack(pb.get_input_tensor_by_name(request, name))
            for name in self._inputs
        }
        values = self._session.run(self._outputs, feeds)
        named = zip(self._outputs, values, strict=True)
        return pb.InferenceResponse(
            [pb.Tensor.from_dlpack(name, np.ascontiguousarray(value)) for name, value in named]
        )
