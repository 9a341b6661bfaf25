"""The item predictor: every item of a job is answered by the version that it was accepted for."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from radiograph.errors import ModelNotFound
from service.inference.results import ModelIdentity
from service.jobs.item_predictor import ItemPredictor
from service.jobs.job import JobQuery
from tests.builders.jobs.job_bodies import radiograph
from tests.fixtures.service import Start

FILE = radiograph()


def query_for(identity: ModelIdentity) -> JobQuery:
    return JobQuery(
        tasks=(),
        phrases=(),
        method=None,
        heatmap="png",
        overlay=False,
        model=identity.name,
        version=identity.version,
        digest=identity.digest,
    )


@pytest.mark.parametrize("change", [{"version": 9}, {"model": "other"}, {"digest": "f" * 64}])
async def test_a_missing_version_is_not_replaced_by_another_one(
    start: Start, change: dict[str, Any]
) -> None:
    async with start() as (app, _):
        components = app.state.components
        query = query_for(components.registry.lookup.ready().identity)
        predictor = ItemPredictor(components.registry, components.predictor)
        assert (await predictor.predict(FILE, "application/dicom", query)).data
        gone = query.model_copy(update=change)
        with pytest.raises(ModelNotFound):
            await predictor.predict(FILE, "application/dicom", gone)


async def test_a_job_keeps_its_version_when_the_alias_moves(start: Start, root: Path) -> None:
    async with start(models_dir=root, watch_interval_s=0, keep_retired=0) as (app, client):
        registry = app.state.components.registry
        predictor = ItemPredictor(registry, app.state.components.predictor)
        query = query_for(registry.lookup.ready().identity)
        first = await predictor.predict(FILE, "application/dicom", query)
        await asyncio.to_thread(registry.promote, "tiny", "stable", 2, 1)
        later = await predictor.predict(FILE, "application/dicom", query)
        predictor.release_idle()
        again = await predictor.predict(FILE, "application/dicom", query)  # loaded anew
        predictor.release_idle()
        reply = await client.post("/classify", content=FILE)
    versions = [json.loads(answer.data)["model"]["version"] for answer in (first, later, again)]
    assert versions == [1, 1, 1]
    assert reply.headers["x-model-version"] == "tiny/2"
    assert json.loads(first.data)["findings"] == json.loads(again.data)["findings"]


async def test_an_idle_version_is_released(start: Start, root: Path) -> None:
    async with start(models_dir=root, watch_interval_s=0, keep_retired=0) as (app, _):
        registry = app.state.components.registry
        predictor = ItemPredictor(registry, app.state.components.predictor)
        query = query_for(registry.lookup.ready().identity)
        await predictor.predict(FILE, "application/dicom", query)
        held = registry.lookup.find().loaded
        await asyncio.to_thread(registry.promote, "tiny", "stable", 2, 1)
        assert not held.is_free
        predictor.release_idle()
        assert held.is_free
