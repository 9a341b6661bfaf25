"""The model behind MLServer, as a custom runtime.

The file is a base64 element of a V2 request, as the REST interface of MLServer expects it.
"""

import base64
import os
from pathlib import Path
from typing import Any

import numpy as np
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from bench.peers import plain
from bench.peers.sessions import Classifier

THREADS = "BENCH_THREADS_EACH"


class Radiographs(MLModel):  # type: ignore[misc] # the package is not in this environment
    """Decodes, infers and answers the batches that MLServer forms."""

    async def load(self) -> bool:
        """Build the sessions."""
        self._plain = plain.Model.of(Path(self.settings.parameters.uri))
        self._classify = Classifier(self._plain, int(os.environ[THREADS]))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Return B x K probabilities for B base64 files."""
        files = [_decoded(item) for item in payload.inputs[0].data]
        tensors = np.stack([plain.tensor(data, self._plain) for data in files])
        probabilities = self._classify(tensors)
        output = ResponseOutput(
            name="probabilities",
            datatype="FP32",
            shape=list(probabilities.shape),
            data=probabilities.ravel().tolist(),
        )
        return InferenceResponse(model_name=self.name, outputs=[output])


def _decoded(item: Any) -> bytes:
    return base64.b64decode(item)
