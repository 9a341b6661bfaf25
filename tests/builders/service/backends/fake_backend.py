"""A backend that computes in NumPy, records its calls, and is predictable to the last digit.

image --mean--> m;  global_features = (m, m, m, m);  pixel_embeddings = m everywhere
head  --logits: the mean of its first input, times its first phrase feature where it reads phrases
"""

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from radiograph.manifest import ModelManifest
from service.backends.base import BackendOutputs, FloatArray, alone, request_ids


class FakeBackend:
    """Computes the outputs of the tiny version's heads as means.

    Attributes:
        calls: (name of the graph, size of its batch), in order.
        requested: outputs of the trunk that were asked for, by call.
        on_behalf: (request ids, whether they were alone), by call of the trunk.
    """

    providers = ("Fake",)

    def __init__(self, manifest: ModelManifest, *, remote: bool = False) -> None:
        self.remote = remote
        self.calls: list[tuple[str, int]] = []
        self.requested: list[set[str]] = []
        self.on_behalf: list[tuple[tuple[str, ...], bool]] = []
        self.closed = False
        self._manifest = manifest

    def trunk(
        self, image: FloatArray, requested: Collection[str] | None = None
    ) -> dict[str, FloatArray]:
        self.calls.append(("trunk", len(image)))
        self.requested.append(set(requested or ()))
        self.on_behalf.append((request_ids(), alone()))
        means = image.mean(axis=(1, 2, 3))
        return {
            "global_features": np.repeat(means[:, None], 4, axis=1),
            "pixel_embeddings": np.tile(means[:, None, None, None], (1, 4, 8, 8)),
            "decoder_4": np.tile(means[:, None, None, None], (1, 1, 16, 16)),
        }

    def text(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> FloatArray:
        self.calls.append(("text", len(input_ids)))
        total = (input_ids * attention_mask).sum(axis=1).astype(np.float32)
        return np.repeat(total[:, None], 4, axis=1)

    def head(self, name: str, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        features, *phrases = (inputs[item] for item in self._manifest.heads[name].inputs)
        self.calls.append((name, len(features)))
        means = features.reshape(len(features), -1).mean(axis=1)
        return {"logits": means if not phrases else means * phrases[0][0, 0]}

    def infer(
        self, image: FloatArray, heads: Collection[str], phrase_features: FloatArray | None = None
    ) -> BackendOutputs:
        features = self.trunk(image)
        given = dict(features)
        if phrase_features is not None:
            given["phrase_features"] = phrase_features
        outputs = {
            name: self.head(name, {item: given[item] for item in self._manifest.heads[name].inputs})
            for name in heads
        }
        return BackendOutputs({"global_features": features["global_features"]}, outputs)

    def release_memory(self) -> None:
        self.calls.append(("release_memory", 0))

    def close(self) -> None:
        self.closed = True
