"""Endpoints of jobs: many radiographs in one request, answered in the background.

POST   /v1/jobs                                  202 with Location; 200 if it is finished already
GET    /v1/jobs                                  jobs of the client, or that of an Idempotency-Key
GET    /v1/jobs/{id}        DELETE /v1/jobs/{id}
GET    /v1/jobs/{id}/items                       state of each radiograph, in pages
GET    /v1/jobs/{id}/results                     results, streamed as JSON, NDJSON or a zip file
GET    /v1/jobs/{id}/results/{number}            one result: JSON, an overlay or DICOM objects
"""

import hashlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from starlette.responses import StreamingResponse

from radiograph.errors import UnsupportedEncoding
from service.api.http.header_fields import listed, single
from service.api.http.negotiation import negotiate
from service.api.http.query import described, query_of
from service.api.http.request_context import context_of
from service.api.schemas import jobs, openapi_jobs
from service.api.schemas.jobs import ItemListParameters, JobListParameters, JobParameters
from service.api.schemas.parameters import check_sides
from service.api.uploads import job_upload, reference_upload
from service.api.uploads.content_type import REFERENCES, ContentType, job_content_type
from service.api.uploads.job_upload import JobUpload
from service.dicom_results import archive, kinds, multipart
from service.encoders import json_encoder, picture_formats
from service.errors import (
    JobNotFound,
    ListingOff,
    NoDicomObject,
    ResultNotFound,
    ResultNotReady,
)
from service.jobs.job import Item, ItemState, Job, JobState
from service.jobs.job_service import JobService, checked_id, key_digest
from service.jobs.storage.queries import NO_JOB
from service.jobs.storage.spool import Incoming
from service.jobs.storage.store import Store
from service.settings import Settings

NDJSON = "application/x-ndjson"
_PAGE_SIZE = 32
_LATER = {"objects", "segmentation", "uncertainty"}
"""Parameters that requests did not have when the fingerprints of older jobs were made."""
_KEPT = (multipart.RELATED, archive.MEDIA_TYPE)
"""Media types of the DICOM objects of one radiograph."""
_NO_STORE = {"cache-control": "no-store"}
_MAX_RETRY_AFTER_S = 30

Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="Counted from 1, in upload order.")]
Id = Annotated[str, Path(description="Last part of the path in `Location`.")]


def jobs_router(service: JobService, settings: Settings) -> APIRouter:
    """Return the endpoints of jobs.

    Args:
        service: accepts, reads and deletes jobs.
        settings: limits of uploads, and whether every job may be listed.
    """
    own = [Depends(_of_the_client(service))]
    router = APIRouter(prefix="/v1/jobs", tags=["Jobs"], dependencies=own)
    _add_collection(router, service, settings)
    _add_job(router, service)
    _add_results(router, service)
    return router


def _of_the_client(service: JobService) -> Callable[[Request], Awaitable[None]]:
    """Return the dependency that hides the jobs of other owners, whatever is asked of a job."""

    async def check(request: Request) -> None:
        name = request.path_params.get("id")
        if name is None:
            return
        owner = await service.call(lambda store: store.owner(checked_id(name)))
        if owner not in (None, _owner(request)):
            raise JobNotFound(NO_JOB)

    return check


def _owner(request: Request) -> str | None:
    """Return the digest of the owner that the client has, None if it is anonymous."""
    return context_of(request.scope).principal.owner_digest


def _add_collection(router: APIRouter, service: JobService, settings: Settings) -> None:
    """Add the endpoints that create and list jobs."""

    @router.post("", status_code=202, **openapi_jobs.POST)
    async def accept_job(request: Request) -> Response:
        """Submit many radiographs: a zip file, a form, a DICOM study, or references to a PACS."""
        parameters = query_of(request, JobParameters)
        job = await _accept(service, settings, request, parameters)
        root = request.scope.get("root_path", "")
        code = 200 if job.state is JobState.FINISHED else 202
        return _job_response(job, code, {"location": f"{root}/v1/jobs/{job.id}"})

    @router.get(
        "",
        response_model=jobs.JobList,
        responses=openapi_jobs.LIST,
        openapi_extra={"parameters": described(JobListParameters)},
    )
    async def list_jobs(request: Request) -> Response:
        """The jobs of the client, or the one of the given `Idempotency-Key`."""
        parameters = query_of(request, JobListParameters)
        owner = _owner(request)
        key = key_digest(single(request, "idempotency-key"), owner)
        if owner is None and not settings.jobs.list:
            raise ListingOff("a client without a credential repeats its request to find its job")
        if key is not None:
            job = await service.call(lambda store: store.by_key(key))
            found = [] if job is None else [job]
        else:
            found = await service.call(lambda store: store.latest(parameters.limit, owner))
        listed = jobs.JobList(jobs=[jobs.job_status(job) for job in found])
        return _json_response(listed.model_dump_json().encode())


async def _accept(
    service: JobService, settings: Settings, request: Request, parameters: JobParameters
) -> Job:
    """Receive the body of a job and have the job accepted.

    Whatever can be refused without the body is refused before the body is read.
    """
    owner = _owner(request)
    key = key_digest(single(request, "idempotency-key"), owner)
    content = job_content_type(request)
    asked = parameters.query(parameters.selected_tasks())
    check_sides(asked, settings.limits)
    if asked.objects and not kinds.is_installed():
        raise NoDicomObject(f"DICOM objects need the extra `{kinds.EXTRA}`")
    query = service.pin(asked, overlay=parameters.overlay)
    if not content.holds_phrases:  # which are still to come
        query.check()
    size = job_upload.declared_bytes(request, settings.jobs)
    async with service.incoming(size) as incoming:
        upload = await _receive(service, settings, request, content, incoming)
        fingerprint = _fingerprint(parameters, content, upload)
        return await service.accept(query, incoming, upload.contents, key, fingerprint, owner)


async def _receive(
    service: JobService,
    settings: Settings,
    request: Request,
    content: ContentType,
    incoming: Incoming,
) -> JobUpload:
    """Receive radiographs, or references to those of a DICOMweb server."""
    if content.media_type != REFERENCES:
        return await job_upload.receive(request, content, incoming, settings, service.threads)
    if service.archives is None:
        raise UnsupportedEncoding("no DICOMweb server is configured that a job could refer to")
    return await reference_upload.receive(
        request, incoming, service.archives, settings, service.threads
    )


def _fingerprint(parameters: JobParameters, content: ContentType, upload: JobUpload) -> str:
    """Return a digest of everything that the client sent and asked for, in its own words."""
    members = [
        parameters.model_dump_json(exclude=None if parameters.objects else _LATER),
        content.media_type,
        *upload.contents.phrases,
        upload.digest,
    ]
    return hashlib.sha256("\0".join(members).encode()).hexdigest()


def _add_job(router: APIRouter, service: JobService) -> None:
    """Add the endpoints of one job."""

    @router.get("/{id}", response_model=jobs.JobStatus, responses=openapi_jobs.ONE)
    async def show_job(id: Id) -> Response:  # noqa: A002 - the name in the path
        """Progress of a job; `Retry-After` says when to ask again."""
        job = await service.call(lambda store: store.job(checked_id(id)))
        return _job_response(job, 200, {})

    @router.delete("/{id}", status_code=204, responses=openapi_jobs.ONE)
    async def delete_job(id: Id) -> Response:  # noqa: A002
        """Cancel what is not answered yet, and delete the job, its files and its results."""
        await service.delete(id)
        return Response(status_code=204)

    @router.get(
        "/{id}/items",
        response_model=jobs.ItemList,
        responses=openapi_jobs.ONE,
        openapi_extra={"parameters": described(ItemListParameters)},
    )
    async def list_items(request: Request, id: Id) -> Response:  # noqa: A002
        """State of each radiograph, in pages."""
        parameters = query_of(request, ItemListParameters)
        found = await service.call(
            lambda store: store.items(
                checked_id(id), parameters.after, parameters.limit, parameters.state
            )
        )
        listed = jobs.ItemList(items=[jobs.item_status(item) for item in found])
        return _json_response(listed.model_dump_json().encode())


def _add_results(router: APIRouter, service: JobService) -> None:
    """Add the endpoints of all results and of one result."""

    @router.get("/{id}/results", **openapi_jobs.RESULTS)
    async def show_results(request: Request, id: Id) -> Response:  # noqa: A002
        """The results so far, in order; a radiograph that failed has a problem instead."""
        offered = (json_encoder.MEDIA_TYPE, NDJSON, archive.MEDIA_TYPE)
        media_type = negotiate(listed(request, "accept"), offered)
        job = await service.call(lambda store: store.job(checked_id(id)))
        if media_type == json_encoder.MEDIA_TYPE:
            chunks = _as_json(job, _final_items(service, id))
        elif media_type == NDJSON:
            chunks = _as_ndjson(_final_items(service, id))
        else:
            chunks = _as_zip(service, id)
        return StreamingResponse(chunks, headers=_NO_STORE, media_type=media_type)

    @router.get("/{id}/results/{number}", **openapi_jobs.RESULT)
    async def show_result(request: Request, id: Id, number: Number) -> Response:  # noqa: A002
        """One result, as a request for the single radiograph would have returned it."""
        offered = (json_encoder.MEDIA_TYPE, *picture_formats.available(), *_KEPT)
        media_type = negotiate(listed(request, "accept"), offered)
        item = await _succeeded_item(service, id, number)
        if media_type == json_encoder.MEDIA_TYPE:
            return _json_response(item.result or b"")
        if media_type in _KEPT:
            return await _objects(service, id, number, media_type)
        overlay = await service.call(lambda store: store.overlay(id, number))
        if overlay is None:
            raise ResultNotFound("no overlay was kept; submit the job with `overlay=true`")
        picture = await service.threads.run(picture_formats.convert, overlay, media_type)
        return Response(picture, media_type=media_type, headers=_NO_STORE)


async def _objects(service: JobService, job: str, number: int, media_type: str) -> Response:
    """Return the DICOM objects of one radiograph: a zip file, or a part for each of them."""
    kept = await service.call(lambda store: store.objects(job, number))
    if kept is None:
        raise ResultNotFound("no DICOM objects were kept; submit the job with `objects=...`")
    if media_type == archive.MEDIA_TYPE:
        return Response(kept, media_type=media_type, headers=_NO_STORE)
    boundary = uuid.uuid4().hex
    files = [data for _, data in await service.threads.run(archive.unpack, kept)]
    content_type = multipart.content_type(boundary)
    return Response(multipart.join(files, boundary), media_type=content_type, headers=_NO_STORE)


async def _succeeded_item(service: JobService, job: str, number: int) -> Item:
    """Return an item that succeeded, with its result.

    Raises:
        JobNotFound: there is no such job.
        ResultNotFound: the job has no such item, or the item failed.
        ResultNotReady: the item is not answered yet.
    """
    found = await service.call(lambda store: store.items(checked_id(job), number - 1, 1, None))
    if not found or found[0].number != number:
        raise ResultNotFound("the job has no radiograph with this number")
    if found[0].state is ItemState.FAILED:
        raise ResultNotFound("this radiograph failed; its problem is listed among the results")
    answers = await service.call(lambda store: store.items(job, number - 1, 1, None, answers=True))
    if not answers or answers[0].number != number:
        raise ResultNotReady("this radiograph is not answered yet")
    return answers[0]


async def _final_items(service: JobService, job: str) -> AsyncIterator[bytes]:
    """Yield each item in a final state as JSON, read from the database in pages."""
    after = 0
    while page := await service.call(
        lambda store, last=after: store.items(job, last, _PAGE_SIZE, None, answers=True)  # type: ignore[misc]
    ):
        for item in page:
            yield _item_json(item)
        after = page[-1].number


def _item_json(item: Item) -> bytes:
    """Return an item as JSON; its result is inserted as it was stored."""
    head = jobs.item_status(item).model_dump_json().encode()
    return head[:-1] + b',"result":' + (item.result or b"null") + b"}"


async def _as_json(job: Job, items: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield b'{"job":' + jobs.job_status(job).model_dump_json().encode() + b',"items":['
    separator = b""
    async for item in items:
        yield separator + item
        separator = b","
    yield b"]}"


async def _as_ndjson(items: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for item in items:
        yield item + b"\n"


async def _as_zip(service: JobService, job: str) -> AsyncIterator[bytes]:
    """Yield the DICOM objects of all items, in a folder for each item, read one by one."""
    stream, after = archive.ZipStream(), 0
    while page := await service.call(
        lambda store, last=after: store.items(job, last, _PAGE_SIZE, ItemState.SUCCEEDED)  # type: ignore[misc]
    ):
        for item in page:
            if item.objects:
                yield await service.call(
                    lambda store, number=item.number: _entries(store, stream, job, number)  # type: ignore[misc]
                )
        after = page[-1].number
    yield stream.end()


def _entries(store: Store, stream: archive.ZipStream, job: str, number: int) -> bytes:
    """Return the bytes of a zip file that hold the DICOM objects of one item."""
    kept = store.objects(job, number)
    files = [] if kept is None else archive.unpack(kept)  # None if the job was deleted meanwhile
    return b"".join(stream.add(f"{number}/{name}", data) for name, data in files)


def _job_response(job: Job, code: int, headers: dict[str, str]) -> Response:
    body = jobs.job_status(job).model_dump_json().encode()
    if job.state is not JobState.FINISHED:
        wait_s = 1 if job.eta_s is None else round(job.eta_s / 2)
        headers = {**headers, "retry-after": str(min(max(wait_s, 1), _MAX_RETRY_AFTER_S))}
    return _json_response(body, code, headers)


def _json_response(body: bytes, code: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, code, {**_NO_STORE, **(headers or {})}, json_encoder.MEDIA_TYPE)
