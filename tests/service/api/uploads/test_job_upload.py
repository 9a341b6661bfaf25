"""Job uploads that are malformed, too large, slow or incomplete: none is half accepted."""

import asyncio
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.jobs.archives import zip_archive
from service.jobs.job import Contents
from service.jobs.storage.spool import Incoming
from service.jobs.storage.store import Store
from tests.builders.jobs.job_bodies import ZIP, form, radiograph, related, zip_file
from tests.builders.jobs.job_clients import accepted, finished
from tests.builders.service.http.asgi import Exchange
from tests.builders.service.http.problem_check import check
from tests.fixtures.service import Start

ONE = zip_file({"1": radiograph()})


def remaining_bodies(folder: Path) -> list[str]:
    """Return the names of the body files that are left."""
    paths = (path for path in (folder / "jobs").rglob("*") if path.is_file())
    return [path.name for path in paths if not path.name.startswith("jobs.sqlite")]


REFUSED: dict[str, tuple[bytes, dict[str, str], str, tuple[int, str]]] = {
    "no type": (ONE, {}, "", (415, "unsupported-encoding")),
    "one radiograph": (
        radiograph(),
        {"content-type": "application/dicom"},
        "",
        (415, "unsupported-encoding"),
    ),
    "compressed": (ONE, ZIP | {"content-encoding": "gzip"}, "", (415, "unsupported-encoding")),
    "empty": (b"", ZIP, "", (400, "malformed-input")),
    "no zip file": (b"x" * 1000, ZIP, "", (400, "malformed-input")),
    "nothing in it": (zip_file({}), ZIP, "", (400, "malformed-input")),
    "nothing to read in it": (zip_file({"a.txt": b"x"}), ZIP, "", (400, "malformed-input")),
    "form without boundary": (
        ONE,
        {"content-type": "multipart/form-data"},
        "",
        (400, "malformed-input"),
    ),
    "form cut short": (form([("1", b"x")])[0][:-9], form([])[1], "", (400, "malformed-input")),
    "form with another field": (
        b'--form\r\nContent-Disposition: form-data; name="who"\r\n\r\nx\r\n--form--',
        form([])[1],
        "",
        (400, "malformed-input"),
    ),
    "form without files": (*form([], ["left"]), "?tasks=ground", (400, "malformed-input")),
    "form with too many phrases": (
        *form([("1", b"x")], ["left"] * 9),
        "",
        (422, "unusable-phrase"),
    ),
    "form with a long phrase": (*form([("1", b"x")], ["x" * 300]), "", (422, "unusable-phrase")),
    "form with too many files": (*form([("1", b"x")] * 40), "", (413, "input-too-large")),
    "study of another type": (*related([b"x"], "image/png"), "", (415, "unsupported-encoding")),
    "related of another type": (
        related([b"x"])[0],
        {"content-type": 'multipart/related; type="image/png"; boundary=study'},
        "",
        (415, "unsupported-encoding"),
    ),
    "unknown parameter": (ONE, ZIP, "?task=segment", (422, "invalid-parameters")),
    "unknown task": (ONE, ZIP, "?tasks=levitate", (422, "invalid-parameters")),
    "ground without a phrase": (ONE, ZIP, "?tasks=ground", (422, "unusable-phrase")),
    "phrase that is none": (ONE, ZIP, "?tasks=ground&phrase=%00", (422, "unusable-phrase")),
    "unknown model": (ONE, ZIP, "?model=../tiny", (404, "model-not-found")),
    "unknown version": (ONE, ZIP, "?version=9", (404, "model-not-found")),
    "too large": (b"x" * 300_000, ZIP, "", (413, "input-too-large")),
    "unusable key": (ONE, ZIP | {"idempotency-key": "a b"}, "", (400, "malformed-input")),
    "long key": (ONE, ZIP | {"idempotency-key": "x" * 256}, "", (400, "malformed-input")),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_an_unusable_upload_is_refused_and_leaves_no_file(
    start: Start, tmp_path: Path, case: str
) -> None:
    body, headers, query, expected = REFUSED[case]
    limits = {"jobs_max_bytes": 200_000, "jobs_max_items": 20, "jobs_list": True}
    async with start(**limits) as (_, client):
        response = await client.post(f"/v1/jobs{query}", content=body, headers=headers)
        check(response, *expected)
        assert (await client.get("/v1/jobs")).json() == {"jobs": []}
    assert remaining_bodies(tmp_path) == []


async def test_archives_beyond_the_limit_of_a_job_are_not_parsed(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[int] = []

    def counted(*arguments: Any) -> Contents:
        parsed.append(1)
        return read(*arguments)

    read = zip_archive.read
    monkeypatch.setattr(zip_archive, "read", counted)
    archive = zip_file({f"IM{number}": b"" for number in range(9)})
    body, headers = form([(f"{number}.zip", archive) for number in range(10)])
    async with start(jobs_max_items=20) as (_, client):
        check(await client.post("/v1/jobs", content=body, headers=headers), 413, "input-too-large")
    assert len(parsed) == 3
    assert remaining_bodies(tmp_path) == []


async def test_a_false_content_length_does_not_lift_the_limit(start: Start, tmp_path: Path) -> None:
    async with start(jobs_max_bytes=10_000) as (app, _):
        chunks = [b"x" * 1000] * 100
        headers = ZIP | {"content-length": "10"}
        reply = await Exchange(app, "/v1/jobs", chunks, headers).run()
    assert reply.status == 413
    assert remaining_bodies(tmp_path) == []


async def test_a_declared_length_over_the_limit_is_refused_unread(start: Start) -> None:
    async with start(jobs_max_bytes=10_000) as (app, _):
        headers = ZIP | {"content-length": "20000", "expect": "100-continue"}
        reply = await Exchange(app, "/v1/jobs", [b"x" * 20_000], headers).run()
    assert (reply.status, reply.received) == (413, 0)


@pytest.mark.parametrize("slow", ["body_timeout_s", "jobs_body_timeout_s"])
async def test_a_body_that_stalls_is_408(start: Start, tmp_path: Path, slow: str) -> None:
    async with start(**{slow: 0.05}) as (app, _):
        reply = await Exchange(app, "/v1/jobs", [ONE[:100]], ZIP, ends=False).run()
    assert (reply.status, json.loads(reply.body)["type"]) == (408, "urn:g2d:problem:body-timeout")
    assert remaining_bodies(tmp_path) == []


async def test_a_client_that_disconnects_leaves_no_file(start: Start, tmp_path: Path) -> None:
    async with start(jobs_list=True) as (app, client):
        exchange = Exchange(app, "/v1/jobs", [ONE[:100]], ZIP, ends=False)
        exchange.leave.set()
        assert (await exchange.run()).status == 499
        assert (await client.get("/v1/jobs")).json() == {"jobs": []}
    assert remaining_bodies(tmp_path) == []


async def test_a_body_of_tiny_chunks_is_read(start: Start) -> None:
    async with start() as (app, client):
        chunks = [ONE[at : at + 1] for at in range(len(ONE))]
        reply = await Exchange(app, "/v1/jobs", chunks, ZIP).run()
        assert reply.status == 202
        job = await finished(client, reply.headers["location"])
    assert job["items"]["succeeded"] == 1


async def test_too_many_simultaneous_uploads_are_503(start: Start) -> None:
    async with start(jobs_uploads=1) as (app, client):
        slow = Exchange(app, "/v1/jobs", [ONE[:100]], ZIP, ends=False)
        sending = asyncio.create_task(slow.run())
        async with asyncio.timeout(60):
            while slow.reply.received < 2:  # noqa: ASYNC110 - the service has no event for it
                await asyncio.sleep(0.001)
        refused = await client.post("/v1/jobs", content=ONE, headers=ZIP)
        check(refused, 503, "overloaded")
        slow.leave.set()
        await sending
        assert (await client.post("/v1/jobs", content=ONE, headers=ZIP)).status_code == 202


async def test_a_full_disk_is_507_before_the_body_is_read(start: Start) -> None:
    async with start(jobs_min_free_bytes=2**62) as (app, _):
        reply = await Exchange(app, "/v1/jobs", [ONE], ZIP | {"expect": "100-continue"}).run()
    assert (reply.status, reply.received) == (507, 0)


@pytest.mark.parametrize("call", ["write", "fsync"])
async def test_a_disk_that_fills_up_is_507_and_no_job_is_half_accepted(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with start(jobs_list=True) as (_, client):
        await client.get("/v1/jobs")
        with monkeypatch.context() as patch:
            if call == "fsync":
                patch.setattr(os, "fsync", full)
            else:
                patch.setattr(Incoming, "write", _said(full))
            response = await client.post("/v1/jobs", content=ONE, headers=ZIP)
        check(response, 507, "storage-full")
        assert (await client.get("/v1/jobs")).json() == {"jobs": []}
        assert remaining_bodies(tmp_path) == []
        await finished(client, await accepted(client, ONE, ZIP))


def _said(call: Callable[..., None]) -> Callable[..., None]:
    from service.jobs.storage.spool import storage_errors

    def write(*arguments: object) -> None:
        with storage_errors():
            call(*arguments)

    return write


async def test_a_failed_commit_removes_the_body(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("on purpose")

    async with start() as (_, client):
        monkeypatch.setattr(Store, "accept", broken)
        response = await client.post("/v1/jobs", content=ONE, headers=ZIP)
    check(response, 500, "internal-error")
    assert remaining_bodies(tmp_path) == []
