"""A plain client of Triton gives the probabilities of the service, from the rendered repository."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput

from radiograph.repository.repository import Repository
from service.backends.triton import repository_view
from tests.builders.triton.triton_process import Triton

MODEL = "tiny-classify"
CLIENT = Path(__file__).parents[4] / "docs/triton_client.py"


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> Iterator[Triton]:
    server = Triton(tmp_path_factory.mktemp("triton"))
    repository_view.render(Repository(tiny_models), server.repository)
    server.start()
    client = InferenceServerClient(server.url())
    for model in ("tiny-trunk", "tiny-findings", MODEL):
        client.load_model(model)
    yield server
    server.kill()


async def test_the_documented_client_gives_the_probabilities_of_the_service(
    client: httpx.AsyncClient, triton: Triton, rectangle_dicom: bytes
) -> None:
    spec = importlib.util.spec_from_file_location("triton_client", CLIENT)
    assert spec is not None
    assert spec.loader is not None
    documented = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(documented)
    found = documented.findings(rectangle_dicom, triton.url(), MODEL)
    headers = {"content-type": "application/dicom"}
    answer = await client.post("/classify", content=rectangle_dicom, headers=headers)
    expected = {
        item["name"]: (pytest.approx(item["probability"], abs=1e-5), item["threshold"])
        for item in answer.json()["findings"]
    }
    assert found == expected
    assert len(found) == 2


def test_triton_names_the_labels(triton: Triton) -> None:
    image = np.zeros((1, 1, 64, 64), np.float32)
    tensor = InferInput("image", list(image.shape), "FP32")
    tensor.set_data_from_numpy(image)
    wanted = InferRequestedOutput("logits", class_count=2)
    answer = InferenceServerClient(triton.url()).infer(MODEL, [tensor], outputs=[wanted])
    best, other = (text.decode().split(":") for text in answer.as_numpy("logits")[0])
    assert {best[2], other[2]} == {"Lung opacity", "No finding"}
    assert float(best[0]) >= float(other[0])
