"""Endpoints of jobs: idempotency keys, lists, and identifiers that do not exist."""

import asyncio
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.jobs.job import Job
from service.jobs.storage import queries
from service.storage import database
from tests.builders.jobs.job_bodies import ZIP, form, radiograph, zip_file
from tests.builders.jobs.job_clients import accepted, finished
from tests.builders.service.http.problem_check import check
from tests.fixtures.service import Start

ONE = zip_file({"1": radiograph()})
KEY = {"idempotency-key": "6f1d1b8e-3c1f"}


async def test_the_same_key_and_request_create_one_job(start: Start) -> None:
    async with start(jobs_list=True) as (_, client):
        first = await client.post("/v1/jobs", content=ONE, headers=ZIP | KEY)
        address = first.headers["location"]
        await finished(client, address)
        again = await client.post("/v1/jobs", content=ONE, headers=ZIP | KEY)
        assert (again.status_code, again.headers["location"]) == (200, address)
        listed = (await client.get("/v1/jobs", headers=KEY)).json()
        assert [job["id"] for job in listed["jobs"]] == [address.rpartition("/")[2]]


async def test_the_boundary_of_a_form_does_not_change_the_request(
    client: httpx.AsyncClient,
) -> None:
    addresses = set()
    for boundary in ("one", "another"):
        body, headers = form([("1", radiograph())], boundary=boundary)
        response = await client.post("/v1/jobs", content=body, headers=headers | KEY)
        addresses.add(response.headers["location"])
    assert len(addresses) == 1


@pytest.mark.parametrize("other", ["query", "body", "phrase"])
async def test_the_same_key_with_another_request_is_422(
    client: httpx.AsyncClient, other: str
) -> None:
    body, headers = form([("1", radiograph())], ["left"])
    await accepted(client, body, headers | KEY, "?tasks=ground")
    query = "?tasks=ground,segment" if other == "query" else "?tasks=ground"
    number, phrase = (1 if other == "body" else 0), ("right" if other == "phrase" else "left")
    body, headers = form([("1", radiograph(number))], [phrase])
    response = await client.post(f"/v1/jobs{query}", content=body, headers=headers | KEY)
    check(response, 422, "idempotency-key-reused")


async def test_simultaneous_duplicates_create_one_job(start: Start) -> None:
    async with start(jobs_list=True, jobs_uploads=8) as (_, client):
        requests = [client.post("/v1/jobs", content=ONE, headers=ZIP | KEY) for _ in range(8)]
        responses = await asyncio.gather(*requests)
        assert {response.status_code for response in responses} <= {200, 202}
        assert len({response.headers["location"] for response in responses}) == 1
        assert len((await client.get("/v1/jobs")).json()["jobs"]) == 1


async def test_jobs_are_not_listed_unless_the_operator_allows_it(
    client: httpx.AsyncClient,
) -> None:
    await accepted(client, ONE, ZIP)
    check(await client.get("/v1/jobs"), 403, "listing-off")
    check(await client.get("/v1/jobs", headers=KEY), 403, "listing-off")


def bodies(tmp_path: Path) -> list[str]:
    """Return the names of the files of jobs other than the database."""
    paths = (path for path in (tmp_path / "jobs").rglob("*") if path.is_file())
    return [path.name for path in paths if not path.name.startswith("jobs.sqlite")]


async def test_a_job_folder_that_is_removed_while_serving_is_made_again(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    lost = await accepted(client, ONE, ZIP)
    await finished(client, lost)
    shutil.rmtree(tmp_path / "jobs")
    refused = await client.post("/v1/jobs", content=ONE, headers=ZIP)
    if refused.status_code != 202:  # the worker may have noticed before
        check(refused, 503, "jobs-unavailable")
        assert int(refused.headers["retry-after"]) >= 1
    job = await finished(client, await accepted(client, ONE, ZIP))
    assert job["items"]["succeeded"] == 1
    check(await client.get(lost), 404, "job-not-found")
    assert stat.S_IMODE((tmp_path / "jobs").stat().st_mode) == 0o700


async def test_no_job_is_accepted_into_a_database_that_was_removed(
    client: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await finished(client, await accepted(client, ONE, ZIP))

    def removed(*arguments: Any) -> Job:
        (tmp_path / "jobs" / "jobs.sqlite").unlink()
        return queried(*arguments)  # within the transaction, after the rows were inserted

    queried = queries.job
    with monkeypatch.context() as patch:
        patch.setattr(queries, "job", removed)
        refused = await client.post("/v1/jobs", content=ONE, headers=ZIP)
    check(refused, 503, "jobs-unavailable")
    assert bodies(tmp_path) == []
    job = await finished(client, await accepted(client, ONE, ZIP))
    assert job["items"]["succeeded"] == 1


async def test_a_job_refused_by_a_locked_database_leaves_no_body(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_LOCK_TIMEOUT_S", 0.1)
    async with start() as (_, client):
        await finished(client, await accepted(client, ONE, ZIP))
        with closing(sqlite3.connect(tmp_path / "jobs" / "jobs.sqlite")) as other:
            other.execute("BEGIN IMMEDIATE")
            refused = await client.post("/v1/jobs", content=ONE, headers=ZIP)
            check(refused, 503, "jobs-unavailable")
            assert bodies(tmp_path) == []
            other.rollback()
        await finished(client, await accepted(client, ONE, ZIP))


async def test_a_job_folder_of_others_is_refused_with_a_clear_line_in_the_log(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs").chmod(0o1777)
    async with start() as (_, client):
        refused = await client.post("/v1/jobs", content=ONE, headers=ZIP)
        check(refused, 503, "jobs-unavailable")
        assert str(tmp_path) not in refused.text
        async with asyncio.timeout(60):
            while "other users can enter" not in caplog.text:  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.01)
    assert bodies(tmp_path) == []


@pytest.mark.parametrize("name", ["0" * 32, "x", "0" * 31, "%00", "A" * 32, "0" * 5000, "'; --"])
async def test_an_invalid_identifier_is_404(client: httpx.AsyncClient, name: str) -> None:
    for path in (f"/v1/jobs/{name}", f"/v1/jobs/{name}/results", f"/v1/jobs/{name}/results/1"):
        response = await client.get(path)
        assert response.status_code == 404


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("results/2", (404, "result-not-found")),
        ("results/0", (422, "invalid-parameters")),
        ("results/99999999999", (422, "invalid-parameters")),
        ("results/x", (422, "invalid-parameters")),
        ("items?limit=0", (422, "invalid-parameters")),
        ("items?after=-1", (422, "invalid-parameters")),
        ("items?state=lost", (422, "invalid-parameters")),
    ],
)
async def test_an_invalid_item_number_or_page_is_refused(
    client: httpx.AsyncClient, path: str, expected: tuple[int, str]
) -> None:
    address = await accepted(client, ONE, ZIP)
    check(await client.get(f"{address}/{path}"), *expected)


async def test_an_unsupported_format_is_406(client: httpx.AsyncClient) -> None:
    address = await accepted(client, ONE, ZIP)
    await finished(client, address)
    for path in ("results", "results/1"):
        refused = await client.get(f"{address}/{path}", headers={"accept": "text/html"})
        check(refused, 406, "not-acceptable")
