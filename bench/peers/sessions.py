"""Trunk and head in ONNX Runtime with its default settings, for the peers that serve ONNX."""

import numpy as np
import onnxruntime

from bench.peers.plain import Floats, Model, sigmoid


class Classifier:
    """Classifier that runs the whole graphs.

    Args:
        model: model version.
        threads: threads of a session.
    """

    def __init__(self, model: Model, threads: int) -> None:
        self._trunk = _session(str(model.folder / "trunk.onnx"), threads)
        self._head = _session(str(model.folder / model.head), threads)
        self._names = [item.name for item in self._trunk.get_outputs()]
        self._features = [item.name for item in self._head.get_inputs()]
        self._temperature = model.temperature

    def __call__(self, tensors: Floats) -> Floats:
        """Return B x K probabilities of normalised images, B x 1 x S x S."""
        features = dict(
            zip(self._names, self._trunk.run(self._names, {"image": tensors}), strict=True)
        )
        (logits,) = self._head.run(["logits"], {name: features[name] for name in self._features})
        return sigmoid(np.asarray(logits), self._temperature)


class CutClassifier:
    """Classifier that runs only the stages of the trunk that the head reads, as the service does.

    Args:
        model: model version.
        threads: threads of a session.
    """

    def __init__(self, model: Model, threads: int) -> None:
        from service.backends.ort.graph_stages import (  # not in the peers' environments
            cut_into_stages,
            needed_stages,
        )

        path = model.folder / "trunk.onnx"
        stages = [_session(part, threads) for part in cut_into_stages(path) or [path.read_bytes()]]
        self._head = _session(str(model.folder / model.head), threads)
        self._features = [item.name for item in self._head.get_inputs()]
        names = [
            ([i.name for i in s.get_inputs()], [o.name for o in s.get_outputs()]) for s in stages
        ]
        self._stages = [(stages[i], *names[i]) for i in needed_stages(self._features, names)]
        self._temperature = model.temperature

    def __call__(self, tensors: Floats) -> Floats:
        """Return B x K probabilities of normalised images, B x 1 x S x S."""
        values = {"image": tensors}
        for stage, inputs, outputs in self._stages:
            made = stage.run(outputs, {name: values[name] for name in inputs})
            values |= dict(zip(outputs, made, strict=True))
        (logits,) = self._head.run(["logits"], {name: values[name] for name in self._features})
        return sigmoid(np.asarray(logits), self._temperature)


def _session(source: str | bytes, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(source, options, ["CPUExecutionProvider"])
