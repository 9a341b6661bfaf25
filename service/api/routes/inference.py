"""Endpoints that answer queries about one radiograph.

POST /v1/classify /v1/segment /v1/detect /v1/ground /v1/analyze     the same without /v1

    Accept, X-Request-Timeout, version, Content-Type, wait --refuse early--> body
    -> admission -> unpack -> predict -> response -> shadow copy offered
"""

import re
from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from starlette.background import BackgroundTask

from radiograph.errors import MalformedInput
from radiograph.manifest import Task
from service.api.http.header_fields import listed, single
from service.api.http.negotiation import negotiate
from service.api.http.query import query_of
from service.api.http.request_context import RequestContext, context_of
from service.api.schemas import inference, openapi
from service.api.schemas.parameters import (
    GroundParameters,
    ModelParameters,
    SegmentParameters,
    ViewerParameters,
    check_sides,
)
from service.api.uploads.content_type import ContentType, radiograph_content_type
from service.api.uploads.upload import read_body, unpack
from service.audit.auditor import Auditor
from service.audit.chain.entry import Act, Entry
from service.dataplane.predictor import EncodedPrediction, Predictor
from service.dataplane.query import PredictionQuery, Upload
from service.dataplane.response_encoding import RESPONSE_FORMATS, WITH_PIXELS
from service.dataplane.shadow import ShadowCopy, Shadows
from service.deadline import Deadline
from service.scheduling.admission import Admission, Permit
from service.settings import LimitSettings

_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
_SEVERAL_TASKS = "analyze"


def inference_router(handler: "InferenceHandler", prefix: str) -> APIRouter:
    """Return the endpoints of all tasks, below a prefix."""
    router = APIRouter(prefix=prefix, tags=["Radiographs"])

    @router.post("/classify", **openapi.task(inference.ClassifyAnswer, ModelParameters))
    async def classify(request: Request) -> Response:
        """Findings with calibrated probabilities."""
        parameters = query_of(request, ModelParameters)
        return await handler.answer(request, parameters.query((Task.CLASSIFY,)))

    @router.post("/segment", **openapi.task(inference.SegmentAnswer, SegmentParameters))
    async def segment(request: Request) -> Response:
        """Masks of lungs and other structures, in source pixels."""
        parameters = query_of(request, SegmentParameters)
        return await handler.answer(request, parameters.query((Task.SEGMENT,)))

    @router.post("/detect", **openapi.task(inference.DetectAnswer, ModelParameters))
    async def detect(request: Request) -> Response:
        """Boxes around findings, in source pixels."""
        parameters = query_of(request, ModelParameters)
        return await handler.answer(request, parameters.query((Task.DETECT,)))

    @router.post("/ground", **openapi.task(inference.GroundAnswer, GroundParameters, phrases=True))
    async def ground(request: Request) -> Response:
        """Location of a phrase in the radiograph: similarity, heat map, peak and box."""
        parameters = query_of(request, GroundParameters)
        return await handler.answer(request, parameters.query((Task.GROUND,)))

    @router.post(
        "/analyze",
        **openapi.task(inference.AnalyzeAnswer, ViewerParameters, phrases=True, pixels=True),
    )
    async def analyze(request: Request) -> Response:
        """Several tasks in one request; the image runs through the model's trunk once."""
        parameters = query_of(request, ViewerParameters)
        query = parameters.query(parameters.selected_tasks())
        return await handler.answer(request, query, (*RESPONSE_FORMATS, WITH_PIXELS))

    return router


class InferenceHandler:
    """Answers one HTTP request for a radiograph: admission, body, prediction, response.

    Args:
        predictor: answers the query.
        admission: decides which requests are served, and when.
        shadows: receives copies of answered requests.
        limits: limits of one request.
        auditor: writes every answer into the audit log, if there is one.
    """

    def __init__(
        self,
        predictor: Predictor,
        admission: Admission,
        shadows: Shadows,
        limits: LimitSettings,
        auditor: Auditor,
    ) -> None:
        self._predictor = predictor
        self._admission = admission
        self._shadows = shadows
        self._limits = limits
        self._auditor = auditor

    async def answer(
        self,
        request: Request,
        query: PredictionQuery,
        formats: tuple[str, ...] = RESPONSE_FORMATS,
    ) -> Response:
        """Answer one request; errors are raised for `service.api.http.problems`.

        The client chooses one of the formats. Whatever can be refused without the body is refused
        before the body is read.
        """
        context = context_of(request.scope)
        deadline = self._deadline(single(request, "x-request-timeout"))
        response_format = negotiate(listed(request, "accept"), formats)
        check_sides(query, self._limits)
        with self._predictor.lease(query, context.request_id) as lease:
            context.model = lease.analysis.identity
            content = radiograph_content_type(request)
            self._auditor.check()
            self._admission.check(deadline, context.client)
            if not content.is_form:  # the phrases of a form are still to come
                lease.analysis.plan(query.analysis_request())
            with self._admission.memory() as memory:
                body = _Body(await self._read(request, deadline, memory.take))
                context.timings_ms["receive"] = context.elapsed_ms()
                key = _batch_key(query)
                async with self._auditor.inference(_audit_entry(context, query)) as audited:
                    with self._admission.acquire(
                        deadline, key, context.request_id, context.client
                    ) as permit:

                        async def work() -> EncodedPrediction:
                            upload = await self._unpack(content, body, permit)
                            audited.receives(upload.data, lease.analysis.identity)
                            return await self._predictor.predict_admitted(
                                lease, permit, upload, query, response_format
                            )

                        prediction = await permit.run_until_disconnect(
                            work(), lambda: _disconnected(request)
                        )
                    audited.answers(prediction.data, prediction.sop_instance_uid)
        context.timings_ms |= prediction.timings_ms | audited.timings_ms
        return Response(
            prediction.data,
            media_type=prediction.media_type,
            headers=_headers(prediction),
            background=self._shadow_task(prediction.shadow_copy),
        )

    async def _read(
        self, request: Request, deadline: Deadline, account: Callable[[int], None]
    ) -> bytes:
        return await read_body(
            request,
            max_bytes=self._limits.max_body_bytes,
            timeout_s=self._limits.body_timeout_s,
            deadline=deadline,
            account=account,
        )

    async def _unpack(self, content: ContentType, body: "_Body", permit: Permit) -> Upload:
        """Return the file in a body; a form is parsed in a thread."""
        if not content.is_form:
            return unpack(content, body.take(), self._limits)
        return await permit.run_in_thread(lambda: unpack(content, body.take(), self._limits))

    def _shadow_task(self, copy: ShadowCopy | None) -> BackgroundTask | None:
        """Return the task that offers a copy to the shadow version once the response is sent."""
        if copy is None:
            return None

        async def offer() -> None:
            self._shadows.offer(copy)

        return BackgroundTask(offer)

    def _deadline(self, timeout: str | None) -> Deadline:
        """Return the deadline that a client asks for in seconds, or the default one."""
        if timeout is None:
            return Deadline(self._limits.request_timeout_s)
        longest = self._limits.max_request_timeout_s
        if not _SECONDS.fullmatch(timeout) or not 0 < float(timeout) <= longest:
            raise MalformedInput(
                f"X-Request-Timeout must be a positive number of seconds up to {longest:g}"
            )
        return Deadline(float(timeout))


def _headers(prediction: EncodedPrediction) -> dict[str, str]:
    """Return the headers of an answer; DICOM objects have no other place for its warnings."""
    headers = {"cache-control": "no-store", "vary": "Accept"}
    if prediction.warnings:
        headers["g2d-warnings"] = ", ".join(prediction.warnings)
    return headers


class _Body:
    """The body of a request until it is taken.

    Ownership passes to the caller of `take`, so that the body of a form is freed as soon as its
    file has been copied out of it.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self) -> bytes:
        """Return the bytes once and drop the reference to them."""
        data, self._data = self._data, b""
        return data


def _audit_entry(context: RequestContext, query: PredictionQuery) -> Entry:
    """Return the entry of a request in the audit log, without its file and its outcome."""
    tasks = tuple(task.value for task in query.tasks)
    return Entry(Act.INFER, context.principal.id, context.request_id, tasks=tasks)


def _batch_key(query: PredictionQuery) -> str:
    """Return the queue of the batcher for a query: that of its only task, or of several tasks.

    Repeated analyses have queues of their own, so that they delay the others by their share only.
    """
    key = query.tasks[0].value if len(query.tasks) == 1 else _SEVERAL_TASKS
    return key if query.uncertainty is None else f"{key}-{query.uncertainty}"


async def _disconnected(request: Request) -> None:
    """Return when the client closes the connection. The body has been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
