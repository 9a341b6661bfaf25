"""A plain FastAPI handler around torch, as a first implementation often looks.

    python -m bench.peers.torch_handler models/g2d-cxr/1 --port 9001 --threads 2

Decoding and the forward pass run directly in an `async def` handler. With `--encoder-only` the
forward pass leaves out the decoder, which findings do not read.
"""

import uvicorn
from fastapi import FastAPI, Request

from bench.peers import plain
from bench.peers.options import PeerOptions


def create_app(options: PeerOptions) -> FastAPI:
    """Return the application."""
    import torch

    from bench.peers import torch_model

    torch.set_num_threads(options.threads)
    classifier = torch_model.load(options.folder, encoder_only=options.encoder_only)
    model = plain.Model.of(options.folder)
    app = FastAPI()

    @app.get("/health")
    async def health() -> str:
        return "ok"

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, list[dict[str, object]]]:
        tensor = plain.tensor(await request.body(), model)
        with torch.inference_mode():
            probabilities = classifier(torch.from_numpy(tensor)[None])[0]
        return model.answer(probabilities.numpy())

    return app


def main() -> None:
    """Serve until stopped."""
    options = PeerOptions.read(__doc__)
    uvicorn.run(create_app(options), host="127.0.0.1", port=options.port, access_log=False)


if __name__ == "__main__":
    main()
