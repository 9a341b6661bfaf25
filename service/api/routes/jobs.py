"""Job routes: many radiographs in one request, answered in the background.

POST   /v1/jobs                                  202, Location; 200 when it is done already
GET    /v1/jobs                                  all of them, or the one of an Idempotency-Key
GET    /v1/jobs/{id}        DELETE /v1/jobs/{id}
GET    /v1/jobs/{id}/items                       state of each radiograph, by pages
GET    /v1/jobs/{id}/results                     answers, streamed: JSON or a line each (NDJSON)
GET    /v1/jobs/{id}/results/{number}            one answer: JSON or PNG overlay
"""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.responses import StreamingResponse

from service.api.http.negotiation import negotiate
from service.api.schemas import jobs, openapi_jobs
from service.api.schemas.jobs import ItemsQuery, JobListQuery, JobQuery
from service.encoders import json_encoder, png_overlay
from service.errors import ListingOff, ResultNotFound, ResultNotReady
from service.jobs.job import Item, ItemState, Job, JobState
from service.jobs.job_service import JobService, key_digest, known

NDJSON = "application/x-ndjson"
_PAGE = 32
_PRIVATE = {"cache-control": "no-store"}
_LONGEST_WAIT_S = 30

Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="From 1, in the order sent.")]
Id = Annotated[str, Path(description="As `Location` gave it.")]


def router(desk: JobService, *, listing: bool) -> APIRouter:
    """What can be done with jobs.

    Args:
        desk: keeps them.
        listing: whether everybody may list them.
    """
    routes = APIRouter(prefix="/v1/jobs", tags=["Jobs"])
    _add_all(routes, desk, listing=listing)
    _add_one(routes, desk)
    _add_results(routes, desk)
    return routes


def _add_all(routes: APIRouter, desk: JobService, *, listing: bool) -> None:
    """Addresses of all jobs: another one, and which there are."""

    @routes.post("", status_code=202, **openapi_jobs.POST)
    async def accept_job(request: Request, query: Annotated[JobQuery, Query()]) -> Response:
        """Many radiographs: a zip file, a form with several files, or a DICOM study."""
        job = await desk.accept(request, query)
        root = request.scope.get("root_path", "")
        code = 200 if job.state is JobState.FINISHED else 202
        return _shown(job, code, {"location": f"{root}/v1/jobs/{job.id}"})

    @routes.get("", response_model=jobs.JobList, responses=openapi_jobs.LIST)
    async def list_jobs(request: Request, query: Annotated[JobListQuery, Query()]) -> Response:
        """The job of the `Idempotency-Key` that is sent; or every job, where that is allowed."""
        key = key_digest(request.headers.get("idempotency-key"))
        if key is not None:
            mine = await desk.call(lambda store: store.by_key(key))
            found = [] if mine is None else [mine]
        elif listing:
            found = await desk.call(lambda store: store.latest(query.limit))
        else:
            raise ListingOff("jobs are listed by Idempotency-Key alone (G2D_JOBS_LIST)")
        listed = jobs.JobList(jobs=[jobs.status(job) for job in found])
        return _json(listed.model_dump_json().encode())


def _add_one(routes: APIRouter, desk: JobService) -> None:
    """Addresses of one job: how far it is."""

    @routes.get("/{id}", response_model=jobs.JobStatus, responses=openapi_jobs.ONE)
    async def show_job(id: Id) -> Response:  # noqa: A002 - the name in the address
        """How far a job is; `Retry-After` says when to ask again."""
        return _shown(await desk.call(lambda store: store.job(known(id))), 200, {})

    @routes.delete("/{id}", status_code=204, responses=openapi_jobs.ONE)
    async def delete_job(id: Id) -> Response:  # noqa: A002
        """Give up what is not answered yet, and remove the job, its files and its answers."""
        await desk.delete(id)
        return Response(status_code=204)

    @routes.get("/{id}/items", response_model=jobs.ItemList, responses=openapi_jobs.ONE)
    async def list_items(id: Id, query: Annotated[ItemsQuery, Query()]) -> Response:  # noqa: A002
        """State of each radiograph, by pages."""
        found = await desk.call(
            lambda store: store.items(known(id), query.after, query.limit, query.state)
        )
        listed = jobs.ItemList(items=[jobs.item_status(item) for item in found])
        return _json(listed.model_dump_json().encode())


def _add_results(routes: APIRouter, desk: JobService) -> None:
    """Addresses of its answers: all of them, or one."""

    @routes.get("/{id}/results", **openapi_jobs.RESULTS)
    async def show_results(request: Request, id: Id) -> Response:  # noqa: A002
        """The answers there are, in order; a radiograph that failed has a problem instead."""
        media_type = negotiate(request.headers.get("accept"), (json_encoder.MEDIA_TYPE, NDJSON))
        job = await desk.call(lambda store: store.job(known(id)))
        items = _answers(desk, id)
        lines = _object(job, items) if media_type == json_encoder.MEDIA_TYPE else _lines(items)
        return StreamingResponse(lines, headers=_PRIVATE, media_type=media_type)

    @routes.get("/{id}/results/{number}", **openapi_jobs.RESULT)
    async def show_result(request: Request, id: Id, number: Number) -> Response:  # noqa: A002
        """One answer, as a single request would have got it."""
        media_type = negotiate(request.headers.get("accept"))
        item = await _answered(desk, id, number)
        if media_type == json_encoder.MEDIA_TYPE:
            return _json(item.result or b"")
        picture = await desk.call(lambda store: store.overlay(id, number))
        if picture is None:
            raise ResultNotFound("no overlay was kept; a job keeps them with `overlay=true`")
        return Response(picture, media_type=png_overlay.MEDIA_TYPE, headers=_PRIVATE)


async def _answered(desk: JobService, job: str, number: int) -> Item:
    """An item that succeeded.

    Raises:
        JobNotFound: there is no such job.
        ResultNotFound: the job has no such item, or it failed.
        ResultNotReady: it is not answered yet.
    """
    found = await desk.call(lambda store: store.items(known(job), number - 1, 1, None))
    if not found or found[0].number != number:
        raise ResultNotFound("the job has no radiograph of this number")
    if found[0].state is ItemState.FAILED:
        raise ResultNotFound("this radiograph has no answer; its problem is among the results")
    answers = await desk.call(lambda store: store.items(job, number - 1, 1, None, answers=True))
    if not answers or answers[0].number != number:
        raise ResultNotReady("this radiograph is not answered yet")
    return answers[0]


async def _answers(desk: JobService, job: str) -> AsyncIterator[bytes]:
    """Each final item as JSON, a page at a time from the database."""
    after = 0
    while page := await desk.call(
        lambda store, seen=after: store.items(job, seen, _PAGE, None, answers=True)  # type: ignore[misc]
    ):
        for item in page:
            yield _answer(item)
        after = page[-1].number


def _answer(item: Item) -> bytes:
    """The item and, as it was kept, its result."""
    head = jobs.item_status(item).model_dump_json().encode()
    return head[:-1] + b',"result":' + (item.result or b"null") + b"}"


async def _object(job: Job, items: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield b'{"job":' + jobs.status(job).model_dump_json().encode() + b',"items":['
    separator = b""
    async for item in items:
        yield separator + item
        separator = b","
    yield b"]}"


async def _lines(items: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for item in items:
        yield item + b"\n"


def _shown(job: Job, code: int, headers: dict[str, str]) -> Response:
    shown = jobs.status(job).model_dump_json().encode()
    if job.state is not JobState.FINISHED:
        wait_s = 1 if job.eta_s is None else round(job.eta_s / 2)
        headers = {**headers, "retry-after": str(min(max(wait_s, 1), _LONGEST_WAIT_S))}
    return _json(shown, code, headers)


def _json(body: bytes, code: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, code, {**_PRIVATE, **(headers or {})}, json_encoder.MEDIA_TYPE)
