"""The model behind LitServe, in an environment of its own.

    .venv/bench-litserve/bin/python -m bench.peers.litserve_server models/g2d-cxr/1 --port 9002

LitServe reads JSON or a form; a form with one file is the usual way for images.
"""

from typing import Any

import litserve
import numpy as np
from fastapi import Request

from bench.peers import plain
from bench.peers.options import PeerOptions
from bench.peers.sessions import Classifier


class Radiographs(litserve.LitAPI):  # type: ignore[misc] # the package is not in this environment
    """Decodes, infers and encodes in the worker processes of LitServe."""

    def __init__(self, options: PeerOptions) -> None:
        super().__init__(max_batch_size=options.batch, batch_timeout=0.005)
        self._options = options

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe calls it so
        """Build the sessions in each worker."""
        self._model = plain.Model.of(self._options.folder)
        self._classify = Classifier(self._model, self._options.threads_each)

    def decode_request(self, request: Request, **_: Any) -> plain.Floats:
        """Decode the file of a form to 1 x S x S."""
        upload: Any = request["file"]
        return plain.tensor(upload.file.read(), self._model)

    def batch(self, inputs: list[plain.Floats]) -> plain.Floats:
        """Stack the tensors of one batch to B x 1 x S x S."""
        return np.stack(inputs)

    def predict(self, x: plain.Floats, **_: Any) -> plain.Floats:
        """Return B x K probabilities for B x 1 x S x S, or K for a single 1 x S x S."""
        return self._classify(x) if x.ndim == 4 else self._classify(x[None])[0]

    def unbatch(self, output: plain.Floats) -> list[plain.Floats]:
        """Split B x K to K for each request."""
        return list(output)

    def encode_response(self, output: plain.Floats, **_: Any) -> dict[str, Any]:
        """Encode K probabilities as JSON."""
        return self._model.answer(output)


def main() -> None:
    """Serve until stopped."""
    options = PeerOptions.read(__doc__)
    server = litserve.LitServer(
        Radiographs(options), accelerator="cpu", workers_per_device=options.workers
    )
    server.run(
        host="127.0.0.1",
        port=options.port,
        generate_client_file=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
