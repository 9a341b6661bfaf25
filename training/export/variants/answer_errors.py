"""Errors of the answers with another trunk: how far probabilities are from those of float32."""

import numpy as np
import onnx
import torch

from radiograph.postprocess.activations import sigmoid
from training.evaluation.phrases.regions import TARGETS
from training.evaluation.trained_model import TrainedModel
from training.export.parity import RunGraph, open_graph
from training.heads.head import PHRASES
from training.metrics.arrays import Float64Array, FloatArray

_IMAGES = 8
"""Number of images by which trunks are compared, evenly spread over those of the calibration."""


class AnswerErrors:
    """Mean difference of the probabilities of each head from those with the trunk of float32."""

    def __init__(
        self, model: TrainedModel, float32: RunGraph, images: tuple[FloatArray, ...]
    ) -> None:
        """Args: model: the run; float32: its trunk; images: 1 x S x S each."""
        step = max(1, len(images) // _IMAGES)
        self._images = np.stack(images[::step][:_IMAGES])
        self._model = model
        self._phrases = model.text(list(TARGETS)) if model.reads_text else None
        self._expected = self._probabilities(float32)

    def __call__(self, graph: onnx.ModelProto) -> Float64Array:
        """Return the error of each head with another trunk."""
        found = self._probabilities(open_graph(graph.SerializeToString()))
        pairs = zip(found, self._expected, strict=True)
        return np.array([float(np.abs(ours - theirs).mean()) for ours, theirs in pairs])

    def _probabilities(self, trunk: RunGraph) -> list[Float64Array]:
        """Return the probabilities of every head."""
        outputs = trunk({"image": self._images})
        features = {name: torch.from_numpy(value) for name, value in outputs.items()}
        kept, raw = self._model.answers(features)
        if self._phrases is not None:
            raw |= {
                name: self._model.head(name, kept | {PHRASES: self._phrases})
                for name, head in self._model.heads.items()
                if PHRASES in head.inputs
            }
        return [sigmoid(raw[name]["logits"].astype(np.float64)) for name in sorted(raw)]
