"""Jobs by reference: each instance of a DICOMweb server is fetched and answered as an item."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask import Response

from tests.builders.dicomweb.server import DicomwebServer, related, running
from tests.builders.files import dicom_files
from tests.builders.jobs import job_clients
from tests.builders.service.http.problem_check import check
from tests.fixtures.service import Start

JSON = {"content-type": "application/json"}
STUDY, SERIES = "1.2.3", "1.2.3.4"


def instance(uid: str) -> bytes:
    pixels = dicom_files.ramp()
    made = dicom_files.dataset(
        pixels,
        SOPInstanceUID=uid,
        StudyInstanceUID=STUDY,
        SeriesInstanceUID=SERIES,
        PatientID="SECRET-4711",
    )
    return dicom_files.write(made, pixels.tobytes())


@pytest.fixture
def pacs() -> Iterator[DicomwebServer]:
    with running() as server:
        for uid in ("1.2.3.4.1", "1.2.3.4.2"):
            server.instances[STUDY, SERIES, uid] = instance(uid)
        yield server


@pytest.fixture
def servers_file(pacs: DicomwebServer, tmp_path: Path) -> Path:
    file = tmp_path / "servers.toml"
    file.write_text(
        f'[servers.pacs]\nurl = "{pacs.url}"\nstore = true\n[servers.other]\nurl = "{pacs.url}"\n'
    )
    return file


@pytest.fixture
async def client(start: Start, servers_file: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with start(dicomweb_file=servers_file, jobs_attempts=2) as (_, client):
        yield client


def body(*references: object, **members: object) -> bytes:
    return json.dumps({"references": references, **members}).encode()


async def answers(client: httpx.AsyncClient, content: bytes) -> list[dict[str, Any]]:
    address = await job_clients.accepted(client, content, JSON, "?tasks=classify")
    return await job_clients.results(client, address)


@pytest.mark.parametrize("form", ["name", "address"])
async def test_every_instance_of_a_study_is_answered(
    client: httpx.AsyncClient, pacs: DicomwebServer, form: str
) -> None:
    named = {"server": "pacs", "study": STUDY}
    reference = named if form == "name" else f"{pacs.url}/studies/{STUDY}"
    items = await answers(client, body(reference))
    found = [item["result"]["image"]["sop_instance_uid"] for item in items]
    assert found == ["1.2.3.4.1", "1.2.3.4.2"]
    assert [item["label"] for item in items] == [None, None]


async def test_phrases_come_with_the_references(client: httpx.AsyncClient) -> None:
    reference = {"server": "pacs", "study": STUDY, "series": SERIES, "instance": "1.2.3.4.1"}
    content = body(reference, phrases=["bright"])
    address = await job_clients.accepted(client, content, JSON, "?tasks=ground")
    (item,) = await job_clients.results(client, address)
    assert item["result"]["phrases"][0]["phrase"] == "bright"


async def test_a_server_that_fails_once_is_asked_again(
    client: httpx.AsyncClient, pacs: DicomwebServer
) -> None:
    failing = iter([Response(status=503)])
    pacs.answer = lambda path: next(failing, None) if path.endswith("4.1") else None
    items = await answers(client, body({"server": "pacs", "study": STUDY}))
    assert [(item["state"], item["attempts"]) for item in items] == [
        ("succeeded", 2),
        ("succeeded", 1),
    ]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Response(status=500), "archive-unavailable"),
        (Response(status=404), "instance-not-found"),
        (related(instance("9.9")), "archive-unavailable"),
        (related(instance("1.2.3.4.2")), "archive-unavailable"),
        (related(b"no radiograph"), "malformed-input"),
    ],
)
async def test_an_instance_that_does_not_come_fails_alone(
    client: httpx.AsyncClient, pacs: DicomwebServer, answer: Response, problem: str
) -> None:
    pacs.answer = lambda path: answer if path.endswith("4.1") else None
    first, second = await answers(client, body({"server": "pacs", "study": STUDY}))
    assert first["problem"]["type"] == f"urn:g2d:problem:{problem}"
    assert second["state"] == "succeeded"
    assert STUDY not in json.dumps(first)


@pytest.mark.parametrize(
    "content",
    [
        body({"server": "third", "study": STUDY}),
        body({"server": "other", "study": STUDY}, store=True),
        body("http://127.0.0.1:1/dicom-web/studies/1"),
        body("http://169.254.169.254/latest/meta-data"),
        body({"server": "pacs", "study": "../../admin"}),
        body({"server": "pacs", "study": STUDY, "url": "http://evil.example"}),
        body(),
        body(7),
        b"{}",
        b"[]",
        b"no JSON",
        b'{"references": [], "references": ["x"]}',
    ],
)
async def test_a_body_that_refers_to_anything_else_is_refused(
    client: httpx.AsyncClient, pacs: DicomwebServer, content: bytes
) -> None:
    check(await client.post("/v1/jobs", content=content, headers=JSON), 422, "invalid-parameters")
    assert pacs.requests == []


async def test_more_references_than_a_job_may_have_files_are_refused_unasked(
    start: Start, pacs: DicomwebServer, servers_file: Path
) -> None:
    many = [{"server": "pacs", "study": f"1.{number}"} for number in range(4)]
    async with start(dicomweb_file=servers_file, jobs_max_items=3) as (_, client):
        refused = await client.post("/v1/jobs", content=body(*many), headers=JSON)
    check(refused, 413, "input-too-large")
    assert pacs.requests == []


async def test_a_study_that_the_server_does_not_have_is_refused(client: httpx.AsyncClient) -> None:
    content = body({"server": "pacs", "study": "9.9"})
    check(await client.post("/v1/jobs", content=content, headers=JSON), 404, "instance-not-found")


async def test_a_study_without_radiographs_is_refused(
    client: httpx.AsyncClient, pacs: DicomwebServer
) -> None:
    pacs.modalities |= {"1.2.3.4.1": "SR", "1.2.3.4.2": "CT"}
    content = body({"server": "pacs", "study": STUDY})
    check(await client.post("/v1/jobs", content=content, headers=JSON), 400, "malformed-input")


async def test_skipped_instances_are_counted(
    client: httpx.AsyncClient, pacs: DicomwebServer
) -> None:
    pacs.modalities["1.2.3.4.2"] = "SR"
    response = await client.post(
        "/v1/jobs", content=body({"server": "pacs", "study": STUDY}), headers=JSON
    )
    assert response.json()["skipped"] == {"other_modality": 1}
    assert response.json()["items"]["total"] == 1


async def test_a_server_that_is_gone_is_503(
    client: httpx.AsyncClient, pacs: DicomwebServer
) -> None:
    pacs.answer = lambda _: Response(status=502)
    content = body({"server": "pacs", "study": STUDY})
    refused = await client.post("/v1/jobs", content=content, headers=JSON)
    check(refused, 503, "archive-unavailable")


async def test_the_same_key_and_references_are_the_same_job(client: httpx.AsyncClient) -> None:
    headers = JSON | {"idempotency-key": "k"}
    content = body({"server": "pacs", "study": STUDY})
    first = await client.post("/v1/jobs", content=content, headers=headers)
    again = await client.post("/v1/jobs", content=content, headers=headers)
    assert again.headers["location"] == first.headers["location"]
    other = body({"server": "pacs", "study": STUDY, "series": SERIES})
    refused = await client.post("/v1/jobs", content=other, headers=headers)
    check(refused, 422, "idempotency-key-reused")


async def test_without_a_configured_server_references_are_refused(start: Start) -> None:
    async with start() as (_, client):
        content = body({"server": "pacs", "study": STUDY})
        refused = await client.post("/v1/jobs", content=content, headers=JSON)
        check(refused, 415, "unsupported-encoding")


ONE = {"server": "pacs", "study": STUDY, "series": SERIES, "instance": "1.2.3.4.1"}


async def test_results_are_sent_back_to_their_study(
    client: httpx.AsyncClient, pacs: DicomwebServer
) -> None:
    (item,) = await answers(client, body(ONE, store=True))
    assert item["state"] == "succeeded"
    (report,) = [made for made in pacs.stored if made.Modality == "SR"]
    assert (report.StudyInstanceUID, report.PatientID) == (STUDY, "SECRET-4711")


async def test_results_that_are_not_stored_are_sent_again_and_then_fail(
    client: httpx.AsyncClient, pacs: DicomwebServer
) -> None:
    pacs.answer = lambda path: None if "series" in path else Response()
    (item,) = await answers(client, body(ONE, store=True))
    assert item["problem"]["type"] == "urn:g2d:problem:archive-unavailable"
    assert [path for path in pacs.requests if "series" not in path] == [
        f"/dicom-web/studies/{STUDY}"
    ] * 2


async def test_nothing_is_sent_back_unasked(
    client: httpx.AsyncClient, pacs: DicomwebServer
) -> None:
    await answers(client, body(ONE))
    assert pacs.stored == []
