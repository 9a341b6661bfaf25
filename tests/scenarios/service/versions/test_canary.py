"""The canary answers its share of the requests that name no version."""

from pathlib import Path

import httpx
import numpy as np
import pytest

from radiograph.repository.repository import Repository
from service.registry.registry import ModelRegistry
from tests.builders.files import sample_files
from tests.builders.models.versions.distinct_versions import answered_probability, probability
from tests.builders.service.http.admin_calls import ADMIN, TOKEN
from tests.builders.service.registry.registries import load
from tests.fixtures.service import Start

PNG = {"content-type": "image/png"}
BLACK = sample_files.png_file(np.zeros((64, 64), np.uint16))


@pytest.fixture
def root(root: Path) -> Path:
    """A repository with version 1 as `stable` and version 2 as `canary`."""
    Repository(root).set_alias("tiny", "canary", 2)
    return root


def answering(registry: ModelRegistry, key: str, reference: str | None = None) -> int:
    """Return the version that answers the request of a key."""
    with registry.lookup.lease(None, reference, key) as lease:
        return lease.analysis.identity.version


def test_the_canary_gets_its_share_and_a_retry_the_same_version(root: Path) -> None:
    registry = load(root, canary_share=0.25)
    keys = [f"request-{number}" for number in range(400)]
    first = [answering(registry, key) for key in keys]
    assert [answering(registry, key) for key in keys] == first
    assert 60 <= first.count(2) <= 140


@pytest.mark.parametrize(("share", "version"), [(0.0, 1), (1.0, 2)])
def test_a_share_of_zero_takes_no_request_and_a_share_of_one_takes_all(
    root: Path, share: float, version: int
) -> None:
    registry = load(root, canary_share=share)
    assert {answering(registry, f"{number}") for number in range(50)} == {version}


def test_a_request_that_names_its_version_is_answered_by_it(root: Path) -> None:
    registry = load(root, canary_share=1.0)
    assert [answering(registry, "x", reference) for reference in ("stable", "1")] == [1, 1]


def test_stable_answers_where_the_canary_is_not_ready(root: Path) -> None:
    (root / "tiny/2/trunk.onnx").unlink()
    assert answering(load(root, canary_share=1.0), "x") == 1


async def test_the_share_follows_the_request_id_and_can_be_changed(
    start: Start, root: Path
) -> None:
    async with start(models_dir=root, admin_token=TOKEN) as (_, client):
        assert await ask(client, "retry-1") == 1
        await client.put("/v1/models/tiny/canary", json={"share": 1.0}, headers=ADMIN)
        assert await ask(client, "retry-1") == 2


async def ask(client: httpx.AsyncClient, request_id: str) -> int:
    headers = PNG | {"x-request-id": request_id}
    response = await client.post("/classify", content=BLACK, headers=headers)
    body = response.json()
    version: int = body["model"]["version"]
    assert response.headers["x-model-version"] == f"tiny/{version}"
    assert answered_probability(body) == pytest.approx(probability(float(version)), abs=1e-5)
    return version
