"""Trunk and head in ONNX Runtime with its usual settings, for the peers that serve ONNX."""

import numpy as np
import onnxruntime

from bench.peers.plain import Floats, Model, sigmoid


class Classifier:
    """B tensors -> B x K probabilities.

    Args:
        model: whose graphs run.
        threads: within one graph.
    """

    def __init__(self, model: Model, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]

        def session(file: str) -> onnxruntime.InferenceSession:
            return onnxruntime.InferenceSession(str(model.folder / file), options, providers)

        self._trunk, self._head = session("trunk.onnx"), session(model.head)
        self._names = [item.name for item in self._trunk.get_outputs()]
        self._features = [item.name for item in self._head.get_inputs()]
        self._temperature = model.temperature

    def __call__(self, tensors: Floats) -> Floats:
        """B x 1 x S x S, normalised -> B x K probabilities."""
        features = dict(
            zip(self._names, self._trunk.run(self._names, {"image": tensors}), strict=True)
        )
        (logits,) = self._head.run(["logits"], {name: features[name] for name in self._features})
        return sigmoid(np.asarray(logits), self._temperature)
