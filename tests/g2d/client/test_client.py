"""`g2d.Client`: the answers of a model in this process, and the errors of the service, typed."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

import g2d
from g2d.errors import Problem, ServiceUnreachable
from radiograph.errors import InputError, MalformedInput, ModelNotFound, UnusableImage
from service.errors import NotAuthorised, Overloaded, ServiceError
from tests.builders.files import sample_files
from tests.builders.g2d.bridge import Bridge, Script, problem
from tests.fixtures.service import Start

Ask = Callable[[g2d.Model | g2d.Client], g2d.Result]


def scripted(*answers: httpx.Response | httpx.HTTPError) -> tuple[g2d.Client, Script]:
    script = Script(*answers)
    return g2d.Client("http://g2d/prefix", "secret", transport=script), script


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that a client would have waited."""
    kept: list[float] = []
    monkeypatch.setattr("time.sleep", kept.append)
    return kept


async def test_the_answers_are_those_of_a_model_in_this_process(
    start: Start, tiny_models: Path, rectangle_dicom: bytes
) -> None:
    asks: list[Ask] = [
        lambda of: of.classify(rectangle_dicom),
        lambda of: of.segment(rectangle_dicom),
        lambda of: of.detect(rectangle_dicom),
        lambda of: of.ground(rectangle_dicom, ["bright", "dark, left"], heatmap="float"),
        lambda of: of.analyze(rectangle_dicom, ["classify", "ground"], "left", method="zero_shot"),
        lambda of: of.analyze(rectangle_dicom, ["detect"], uncertainty=True),
    ]
    with g2d.load(tiny_models, threads=1) as model:
        here = [ask(model) for ask in asks]
    async with start() as (app, _):
        with g2d.Client("http://g2d", transport=Bridge(httpx.ASGITransport(app))) as client:
            there = [await asyncio.to_thread(ask, client) for ask in asks]
    assert there == here
    assert there[3].phrases[0].heatmap.array is not None


async def test_an_error_is_the_one_that_the_service_met(
    start: Start, tiny_models: Path, rectangle_dicom: bytes
) -> None:
    colour = sample_files.dicom_file(
        sample_files.bright_rectangle(160, 120, (20, 40, 60, 80)), Modality="CT"
    )
    async with start() as (app, _):
        client = g2d.Client("http://g2d", transport=Bridge(httpx.ASGITransport(app)))
        with pytest.raises(UnusableImage) as caught:
            await asyncio.to_thread(client.classify, colour)
        with pytest.raises(MalformedInput):
            await asyncio.to_thread(client.classify, b"\x89PNG\r\n\x1a\n")
        other = g2d.Client("http://g2d", model="other", transport=client._http._transport)
        with pytest.raises(ModelNotFound):
            await asyncio.to_thread(other.classify, rectangle_dicom)
    cause = caught.value.__cause__
    assert isinstance(cause, Problem)
    assert (cause.status, cause.type) == (422, "urn:g2d:problem:wrong-modality")
    assert len(cause.request_id) > 8


def test_a_request_carries_key_prefix_and_version_and_no_phrase_in_its_address() -> None:
    script = Script(problem(422, "unusable-phrase"))
    client = g2d.Client("http://g2d/prefix/", "secret", model="m", version=3, transport=script)
    with pytest.raises(InputError):
        client.ground(b"chest", "left lung", method="aligned")
    (request,) = script.requests
    assert request.headers["Authorization"] == "Bearer secret"
    assert request.url == "http://g2d/prefix/v1/ground?model=m&version=3&method=aligned&heatmap=png"
    assert b"left lung" in request.content
    assert "secret" not in repr(client) + repr(client._target)


def test_a_busy_service_is_asked_again_when_it_says(waits: list[float]) -> None:
    busy = problem(503, "overloaded", Retry_After="7")
    client, script = scripted(busy, busy, problem(401, "not-authorised"))
    with pytest.raises(NotAuthorised, match="the reason"):
        client.classify(b"chest")
    assert waits == [7, 7]
    assert [request.content for request in script.requests] == [b"chest"] * 3


def test_a_service_that_stays_busy_is_given_up(waits: list[float]) -> None:
    client, script = scripted(*[problem(503, "overloaded", Retry_After="2")] * 5)
    with pytest.raises(Overloaded) as caught:
        client.classify(b"chest")
    assert (waits, len(script.requests)) == ([2, 2, 2, 2], 5)
    assert caught.value.retry_after_s == 2


def test_a_broken_connection_is_tried_again_and_a_timeout_is_not(waits: list[float]) -> None:
    client, _ = scripted(httpx.ConnectError("refused"), httpx.ReadTimeout("late"))
    with pytest.raises(ServiceUnreachable, match="no answer in time"):
        client.classify(b"chest")
    assert len(waits) == 1
    assert 0.25 <= waits[0] <= 0.5


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>Welcome to nginx</html>"),
        httpx.Response(200, json={"findings": []}),
        httpx.Response(302, headers={"Location": "https://elsewhere"}),
        httpx.Response(500, text="<html>" + "x" * 10_000),
        httpx.Response(504, content=b"\xff\xfe"),
    ],
)
def test_an_answer_that_is_not_of_the_service_is_an_error_of_the_service(
    answer: httpx.Response,
) -> None:
    client, _ = scripted(answer)
    with pytest.raises(ServiceError) as caught:
        client.classify(b"chest")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("url", ["", "localhost", "ftp://host", "http://", "/prefix"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not the address of a service"):
        g2d.Client(url)


def test_many_are_answered_in_order_and_a_fault_ends_them(tmp_path: Path) -> None:
    script = Script(*[problem(400, "malformed-input")] * 3)
    bad = tmp_path / "a.dcm"
    bad.write_bytes(b"a")
    client = g2d.Client("http://g2d", transport=script, concurrency=1)
    with pytest.raises(MalformedInput) as caught:
        list(client.classify([bad, b"b", b"c", b"d"], progress=False))
    assert caught.value.__notes__ == [f"file: {bad}"]
    assert len(script.requests) < 4


async def test_many_are_sent_side_by_side(start: Start, rectangle_dicom: bytes) -> None:
    async with start() as (app, _):
        transport = Bridge(httpx.ASGITransport(app))
        with g2d.Client("http://g2d", transport=transport, concurrency=3) as client:
            sources = [rectangle_dicom] * 5
            results = await asyncio.to_thread(lambda: list(client.segment(sources, progress=False)))
    assert len({result.request_id for result in results}) == 5
    assert all(result == results[0] for result in results)
