"""The predictor: a file and a query become an encoded prediction, without HTTP."""

import asyncio
import json
from typing import Any, Literal

import pytest

from radiograph.errors import MalformedInput, ModelNotFound, UnusablePhrase
from radiograph.manifest import Task
from radiograph.readers.read import DICOM
from service.dataplane.query import PredictionQuery, Upload
from service.deadline import Deadline
from service.encoders.picture_formats import PNG
from service.errors import DeadlineExceeded
from service.observability.observer import NullObserver
from tests.builders.service.backends.gate import Gate, build
from tests.builders.service.results.dicom_results import source
from tests.fixtures.service import Start

HEADERS = {"content-type": DICOM}
SEGMENT = PredictionQuery((Task.SEGMENT,))


class QueueObserver(NullObserver):
    """Records the queues of the batcher that were used."""

    def __init__(self) -> None:
        self.keys: set[str] = set()

    def queue(self, key: str, waiting: int) -> None:
        self.keys.add(key)


def without_timings(answer: bytes) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(answer)
    del members["timings_ms"]
    return members


async def test_a_prediction_is_the_answer_of_a_request_for_the_same_query(
    start: Start, rectangle_dicom: bytes
) -> None:
    async with start() as (app, client):
        prediction = await app.state.components.predictor.predict(
            Upload(rectangle_dicom, DICOM),
            PredictionQuery((Task.GROUND,), ("bright",)),
            request_id="job-1",
        )
        response = await client.post(
            "/ground?phrase=bright",
            content=rectangle_dicom,
            headers=HEADERS | {"x-request-id": "job-1"},
        )
    assert without_timings(prediction.data) == without_timings(response.content)
    assert (str(prediction.model), prediction.media_type) == ("tiny/1", "application/json")
    assert prediction.overlay is None


async def test_phrases_of_the_form_are_added_to_those_of_the_query(
    start: Start, rectangle_dicom: bytes
) -> None:
    async with start() as (app, _):
        prediction = await app.state.components.predictor.predict(
            Upload(rectangle_dicom, DICOM, ("dark",)),
            PredictionQuery((Task.GROUND,), ("bright",)),
        )
    found = [item["phrase"] for item in json.loads(prediction.data)["phrases"]]
    assert found == ["bright", "dark"]


async def test_an_overlay_is_the_prediction_or_beside_it(
    start: Start, rectangle_dicom: bytes
) -> None:
    async with start() as (app, _):
        predict = app.state.components.predictor.predict
        upload = Upload(rectangle_dicom, DICOM)
        alone = await predict(upload, SEGMENT, PNG)
        beside = await predict(upload, SEGMENT, overlay=True)
    assert (alone.media_type, alone.overlay) == ("image/png", None)
    assert beside.media_type == "application/json"
    assert beside.overlay == alone.data


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
async def test_the_objects_beside_it_are_those_of_the_query(
    start: Start, kind: Literal["binary", "labelmap"]
) -> None:
    pytest.importorskip("highdicom")
    query = PredictionQuery((Task.SEGMENT,), objects=("seg",), segmentation=kind)
    async with start() as (app, _):
        predict = app.state.components.predictor.predict
        beside = await predict(Upload(source(), DICOM), query, objects=True)
        alone = await predict(Upload(source(), DICOM), query, "application/dicom")
    (made,) = beside.objects
    assert made.data == alone.data
    assert beside.media_type == "application/json"


async def test_calls_without_a_request_use_a_queue_of_their_own(
    start: Start, rectangle_dicom: bytes
) -> None:
    observer = QueueObserver()
    async with start(observer=observer) as (app, client):
        await app.state.components.predictor.predict(Upload(rectangle_dicom, DICOM), SEGMENT)
        await client.post("/segment", content=rectangle_dicom, headers=HEADERS)
        await client.post("/analyze", content=rectangle_dicom, headers=HEADERS)
    assert observer.keys == {"job", "segment", "analyze"}


async def test_errors_are_raised(start: Start, rectangle_dicom: bytes) -> None:
    async with start() as (app, _):
        predict = app.state.components.predictor.predict
        upload = Upload(rectangle_dicom, DICOM)
        with pytest.raises(MalformedInput):
            await predict(Upload(b"garbage", DICOM), SEGMENT)
        with pytest.raises(ModelNotFound):
            await predict(upload, PredictionQuery((Task.SEGMENT,), model="other"))
        with pytest.raises(UnusablePhrase):
            await predict(upload, PredictionQuery((Task.GROUND,)))
        with pytest.raises(DeadlineExceeded):
            await predict(upload, SEGMENT, deadline=Deadline(0))


async def test_calls_without_a_request_take_no_place_from_requests(
    start: Start, rectangle_dicom: bytes, gates: list[Gate]
) -> None:
    async with start(build(gates), workers=1, waiting=0) as (app, client):
        components = app.state.components
        gates[0].shut()
        call = asyncio.create_task(
            components.predictor.predict(Upload(rectangle_dicom, DICOM), SEGMENT)
        )
        await gates[0].reached()
        assert components.admission.active == 0
        request = asyncio.create_task(
            client.post("/segment", content=rectangle_dicom, headers=HEADERS)
        )
        gates[0].open.set()
        assert (await request).status_code == 200
        assert str((await call).model) == "tiny/1"
