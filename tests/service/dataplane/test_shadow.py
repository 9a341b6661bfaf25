"""Shadow traffic: copies run after the answer was sent, and are dropped under load."""

import asyncio
import logging
import threading
from collections.abc import Mapping
from pathlib import Path

import httpx
import numpy as np
import pytest

from radiograph.readers.read import UNKNOWN
from radiograph.repository.repository import Repository
from service.dataplane.shadow import ShadowCopy, Shadows
from service.inference.results import AnalysisResult
from service.inference.types import AnalysisRequest
from service.observability.observer import NullObserver
from service.registry.registry import ModelRegistry
from tests.builders.files import sample_files
from tests.builders.models.versions.distinct_versions import answered_probability, probability
from tests.builders.service.registry.registries import load
from tests.builders.service.results.results import result
from tests.fixtures.service import Start

BLACK = sample_files.png_file(np.zeros((64, 64), np.uint16))


class RecordingObserver(NullObserver):
    """Records the differences that shadow runs report."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, dict[str, float]]] = []
        self.received = threading.Semaphore(0)

    def shadow(self, model: str, differences: Mapping[str, float]) -> None:
        self.reports.append((model, dict(differences)))
        self.received.release()


@pytest.fixture
def root(root: Path) -> Path:
    """A repository with version 1 as `stable` and version 2 as `canary`."""
    Repository(root).set_alias("tiny", "canary", 2)
    return root


async def ask(client: httpx.AsyncClient, request_id: str) -> int:
    """Send a request and return the version that answered it."""
    headers = {"content-type": "image/png", "x-request-id": request_id}
    response = await client.post("/classify", content=BLACK, headers=headers)
    body = response.json()
    version: int = body["model"]["version"]
    assert answered_probability(body) == pytest.approx(probability(float(version)), abs=1e-5)
    return version


async def test_the_shadow_answers_as_well_and_the_difference_is_reported(
    start: Start, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    observer = RecordingObserver()
    with caplog.at_level(logging.INFO, "g2d.shadow"):
        async with start(observer=observer, models_dir=root, shadow_alias="canary") as (_, client):
            assert await ask(client, "shadowed") == 1
            assert await asyncio.to_thread(observer.received.acquire, timeout=60)
    expected = probability(2.0) - probability(1.0)
    ((model, found),) = observer.reports
    assert model == "tiny/2"
    assert found == {"findings": pytest.approx(expected, abs=1e-5)}
    (line,) = (vars(record)["fields"] for record in caplog.records)
    assert (line["id"], line["model"], line["shadow"]) == ("shadowed", "tiny/1", "tiny/2")
    assert line["differences"]["findings"] == pytest.approx(expected, abs=1e-4)


async def test_a_failure_of_the_shadow_changes_no_answer(
    start: Start, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with start(models_dir=root, shadow_alias="canary") as (app, client):
        shadow = app.state.components.registry.lookup.ready(reference="canary")
        failed = threading.Event()

        def fail(*_: object) -> None:
            failed.set()
            raise ValueError("Doe^Jane")

        shadow.run_here = fail
        assert await ask(client, "real") == 1
        assert await asyncio.to_thread(failed.wait, 60)
    assert "a shadow version failed" in caplog.text
    assert "Jane" not in caplog.text


def registry_with_copy(root: Path) -> tuple[ModelRegistry, ShadowCopy]:
    registry = load(root, shadow_alias="canary")
    with registry.lookup.lease() as lease:
        assert lease.shadow is not None
        assert lease.shadow.version == 2
        return registry, ShadowCopy(lease.shadow, AnalysisRequest(), b"", UNKNOWN, result(), "id")


def test_copies_are_dropped_under_load_and_when_the_queue_is_full(root: Path) -> None:
    registry, copy = registry_with_copy(root)
    assert not Shadows(NullObserver(), lambda: True).offer(copy)
    begun, go = threading.Event(), threading.Event()

    def block(*_: object) -> AnalysisResult:
        begun.set()
        go.wait(60)
        return result()

    registry.lookup.ready(reference="canary").run_here = block  # type: ignore[method-assign, assignment]
    shadows = Shadows(NullObserver(), lambda: False)
    assert shadows.offer(copy)
    assert begun.wait(60)
    assert [shadows.offer(copy) for _ in range(4)] == [True, True, False, False]
    go.set()
    shadows.close()
    assert not shadows.offer(copy)


def test_a_copy_for_a_version_that_was_freed_is_dropped(root: Path) -> None:
    registry, copy = registry_with_copy(root)
    registry.close()
    observer = RecordingObserver()
    shadows = Shadows(observer, lambda: False)
    assert shadows.offer(copy)
    shadows.close()
    assert observer.reports == []
