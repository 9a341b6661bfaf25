"""A job is seen by the owner of the credential that sent it, and by nobody else."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from service.auth.principal import Scope
from tests.builders.jobs.job_bodies import ZIP, radiograph, zip_file
from tests.builders.jobs.job_clients import accepted, finished
from tests.builders.service.auth import api_keys
from tests.builders.service.http.problem_check import check
from tests.fixtures.service import Start

ONE = zip_file({"1": radiograph()})
KEY = {"idempotency-key": "study-42"}
Headers = dict[str, str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def pacs(path: Path) -> Headers:
    return api_keys.client_headers(path, "pacs", Scope.JOBS)


@pytest.fixture
def second_key_of_pacs(path: Path) -> Headers:
    return api_keys.client_headers(path, "pacs", Scope.JOBS)


@pytest.fixture
def other(path: Path) -> Headers:
    """A client that may do everything."""
    return api_keys.client_headers(path, "other", *Scope)


@pytest.fixture
async def service(
    start: Start, path: Path, pacs: Headers, second_key_of_pacs: Headers, other: Headers
) -> AsyncIterator[httpx.AsyncClient]:
    """A service with the keys of two clients that serves anonymous clients as well."""
    async with start(keys_file=path, allow_anonymous=True) as (_, client):
        yield client


def requests_of(address: str) -> list[tuple[str, str]]:
    paths = ("", "/items", "/results", "/results/1", "/results/2")
    return [*(("GET", address + path) for path in paths), ("DELETE", address)]


async def test_a_job_of_another_owner_does_not_exist(
    service: httpx.AsyncClient, pacs: Headers, other: Headers
) -> None:
    address = await accepted(service, ONE, ZIP | pacs)
    unknown = f"/v1/jobs/{'0' * 32}"
    for headers in (other, {}):
        for known, missing in zip(requests_of(address), requests_of(unknown), strict=True):
            refused = check(await service.request(*known, headers=headers), 404, "job-not-found")
            absent = check(await service.request(*missing, headers=headers), 404, "job-not-found")
            assert refused["detail"] == absent["detail"]
    assert (await service.get(address, headers=pacs)).status_code == 200


async def test_every_key_of_an_owner_sees_its_jobs(
    service: httpx.AsyncClient, pacs: Headers, second_key_of_pacs: Headers
) -> None:
    address = await accepted(service, ONE, ZIP | pacs)
    assert (await service.get(address, headers=second_key_of_pacs)).status_code == 200
    assert (await service.delete(address, headers=second_key_of_pacs)).status_code == 204


async def test_a_client_lists_its_own_jobs(
    service: httpx.AsyncClient, pacs: Headers, other: Headers
) -> None:
    address = await accepted(service, ONE, ZIP | pacs)
    listed = (await service.get("/v1/jobs", headers=pacs)).json()["jobs"]
    assert [job["id"] for job in listed] == [address.rpartition("/")[2]]
    assert (await service.get("/v1/jobs", headers=other)).json() == {"jobs": []}
    check(await service.get("/v1/jobs"), 403, "listing-off")


async def test_a_guessed_idempotency_key_gives_no_job_of_somebody_else(
    service: httpx.AsyncClient, pacs: Headers, other: Headers
) -> None:
    mine = await accepted(service, ONE, ZIP | KEY | pacs)
    body = zip_file({"1": radiograph(1)})
    theirs = await accepted(service, body, ZIP | KEY | other)
    nobodys = await accepted(service, ONE, ZIP | KEY)
    assert len({mine, theirs, nobodys}) == 3
    again = await service.post("/v1/jobs", content=ONE, headers=ZIP | KEY | pacs)
    assert again.headers["location"] == mine
    for headers, address in ((pacs, mine), (other, theirs)):
        found = (await service.get("/v1/jobs", headers=KEY | headers)).json()["jobs"]
        assert [job["id"] for job in found] == [address.rpartition("/")[2]]


async def test_an_anonymous_client_finds_no_job_by_its_key_alone(
    service: httpx.AsyncClient,
) -> None:
    address = await accepted(service, ONE, ZIP | KEY)
    check(await service.get("/v1/jobs", headers=KEY), 403, "listing-off")
    other_body = zip_file({"1": radiograph(1)})
    refused = await service.post("/v1/jobs", content=other_body, headers=ZIP | KEY)
    check(refused, 422, "idempotency-key-reused")
    assert address.rpartition("/")[2] not in refused.text
    same = await service.post("/v1/jobs", content=ONE, headers=ZIP | KEY)
    assert same.headers["location"] == address


async def test_a_job_of_an_anonymous_client_is_read_by_its_identifier(
    service: httpx.AsyncClient, pacs: Headers
) -> None:
    address = await accepted(service, ONE, ZIP)
    await finished(service, address)
    assert (await service.get(f"{address}/results", headers=pacs)).status_code == 200
    assert (await service.get("/v1/jobs", headers=pacs)).json() == {"jobs": []}


async def test_owners_stay_hidden_when_authentication_is_switched_off(
    start: Start, path: Path, pacs: Headers
) -> None:
    async with start(keys_file=path) as (_, client):
        address = await accepted(client, ONE, ZIP | pacs)
    async with start(jobs_list=True) as (_, client):
        for headers in (pacs, {}):
            check(await client.get(address, headers=headers), 404, "job-not-found")
        assert (await client.get("/v1/jobs")).json() == {"jobs": []}


async def test_the_database_holds_no_name_of_an_owner(
    service: httpx.AsyncClient, pacs: Headers, tmp_path: Path
) -> None:
    await accepted(service, ONE, ZIP | KEY | pacs)
    files = [file for file in (tmp_path / "jobs").rglob("*") if file.is_file()]
    stored = b"".join(file.read_bytes() for file in files)
    assert stored
    for text in (b"key:pacs", b"study-42", pacs["authorization"].encode()):
        assert text not in stored
