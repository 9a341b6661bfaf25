"""One request runs the trunk once, and a phrase runs through the text encoder once."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from radiograph.manifest import ModelManifest
from service.backends.base import FloatArray
from service.backends.ort.backend import OrtBackend
from tests.builders.service.backends.ort_graphs import graph_cache
from tests.fixtures.service import Start

DICOM = {"content-type": "application/dicom"}


class CountingBackend(OrtBackend):
    """The real backend, with its calls counted."""

    def __init__(self, folder: Path, manifest: ModelManifest) -> None:
        super().__init__(folder, manifest, graph_cache())
        self.calls: Counter[str] = Counter()

    def trunk(
        self, image: FloatArray, requested: Collection[str] | None = None
    ) -> dict[str, FloatArray]:
        self.calls["trunk"] += 1
        return super().trunk(image, requested)

    def text(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> FloatArray:
        self.calls["text"] += 1
        return super().text(input_ids, attention_mask)

    def head(self, name: str, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        self.calls[name] += 1
        return super().head(name, inputs)


@pytest.fixture
def counted() -> list[CountingBackend]:
    return []


@pytest.fixture
def build(counted: list[CountingBackend]) -> object:
    def factory(folder: Path, manifest: ModelManifest) -> CountingBackend:
        counted.append(CountingBackend(folder, manifest))
        return counted[-1]

    return factory


async def test_every_task_of_one_request_shares_one_run_of_the_trunk(
    start: Start, rectangle_dicom: bytes, counted: list[CountingBackend], build: object
) -> None:
    async with start(build) as (_, client):
        counted[0].calls.clear()
        path = "/analyze?phrase=bright&phrase=dark"
        response = await client.post(path, content=rectangle_dicom, headers=DICOM)
    assert response.status_code == 200
    assert counted[0].calls == {
        "trunk": 1,
        "text": 2,
        "findings": 1,
        "anatomy": 1,
        "boxes": 1,
        "regions": 1,
    }


async def test_a_cached_phrase_is_not_encoded_again(
    start: Start, rectangle_dicom: bytes, counted: list[CountingBackend], build: object
) -> None:
    async with start(build, phrase_cache=2) as (_, client):
        counted[0].calls.clear()
        for phrase in ("bright", " bright ", "dark", "left", "bright"):
            response = await client.post(
                "/ground", params={"phrase": phrase}, content=rectangle_dicom, headers=DICOM
            )
            assert response.status_code == 200
    assert counted[0].calls["text"] == 4  # the third phrase evicted the first one


async def test_a_request_at_fault_never_reaches_the_trunk(
    start: Start, rectangle_dicom: bytes, counted: list[CountingBackend], build: object
) -> None:
    async with start(build) as (_, client):
        counted[0].calls.clear()
        await asyncio.gather(
            client.post("/ground?phrase=%00", content=rectangle_dicom, headers=DICOM),
            client.post("/segment", content=b"garbage", headers=DICOM),
            client.post("/segment?version=9", content=rectangle_dicom, headers=DICOM),
        )
    assert not counted[0].calls
