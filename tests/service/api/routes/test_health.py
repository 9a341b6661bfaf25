"""Probes: live as soon as the process runs, ready once the default model answers."""

from pathlib import Path

import httpx

from tests.builders.service.http.problem_check import check
from tests.fixtures.service import Start


async def test_a_loaded_service_is_live_and_ready(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/live")).json() == {"status": "live"}
    assert (await client.get("/health/ready")).json() == {"status": "ready"}


async def test_a_service_without_its_default_model_is_live_but_not_ready(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    async with start(models_dir=tmp_path / "empty") as (_, client):
        assert (await client.get("/health/live")).status_code == 200
        check(await client.get("/health/ready"), 503, "not-ready")
