"""Endpoints of the loaded models: lists, details, and models that are not served."""

import httpx
import pytest

from service.api.schemas import models
from tests.builders.service.http.problem_check import check


async def test_loaded_models_are_listed(client: httpx.AsyncClient) -> None:
    listed = models.ModelList.model_validate((await client.get("/v1/models")).json())
    (model,) = listed.models
    assert (model.name, model.default) == ("tiny", True)
    assert [(v.version, v.state, v.aliases) for v in model.versions] == [(1, "ready", ["stable"])]
    assert (await client.get("/v1/models/tiny")).json() == model.model_dump(mode="json")


@pytest.mark.parametrize("version", ["1", "stable"])
async def test_a_version_shows_its_manifest_and_providers(
    client: httpx.AsyncClient, version: str
) -> None:
    response = await client.get(f"/v1/models/tiny/versions/{version}")
    detail = models.VersionDetail.model_validate(response.json())
    assert detail.manifest is not None
    assert (detail.manifest.name, detail.version) == ("tiny", 1)
    assert detail.providers == ["CPUExecutionProvider"]
    assert detail.reason is None


@pytest.mark.parametrize(
    "path", ["/v1/models/other", "/v1/models/tiny/versions/2", "/v1/models/tiny/versions/canary"]
)
async def test_a_model_or_version_that_is_not_served_is_404(
    client: httpx.AsyncClient, path: str
) -> None:
    response = await client.get(path)
    check(response, 404, "model-not-found")


async def test_a_version_shows_its_card(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/models/tiny/versions/stable/card")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/markdown; charset=utf-8"
    assert response.text == "# Tiny\n\nFor tests.\n"
    check(await client.get("/v1/models/tiny/versions/9/card"), 404, "model-not-found")
