"""Answers: one request for a radiograph, from its headers to the bytes of the response.

    Accept, model, Content-Type, wait --cheap refusals--> body --> place
    unpack -> plan -> Analysis.run (decoders, engine) -> complete, encode -> bytes

Nothing blocks here: files are read in processes, batches run in the engine's lanes, and forms,
results and encoding go to threads; the event loop only moves bytes. `analyse` is the same for
callers without an HTTP request.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from radiograph.errors import MalformedInput
from service.api.http.negotiation import negotiate
from service.api.http.request_context import context_of
from service.api.uploads.content_type import ContentType, content_type
from service.api.uploads.upload import BodyLimits, read_body, unpack
from service.dataplane.query import PredictionQuery, Upload
from service.dataplane.shadow import Copy, Shadows
from service.deadline import Deadline
from service.decoding.pool import DecoderPool
from service.encoders import json_encoder, png_overlay
from service.inference.analysis import Analysis
from service.inference.results import AnalysisResult, ModelIdentity
from service.inference.types import AnalysisRequest, Plan
from service.observability.stopwatch import Stopwatch
from service.registry.lookup import VersionLookup
from service.registry.state import Lease
from service.scheduling.admission import Admission, Permit
from service.scheduling.dynamic_batching import JOB
from service.settings import Settings

_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
_SEVERAL = "analyze"


@dataclass(frozen=True)
class EncodedPrediction:
    """The bytes of one answer.

    Attributes:
        data: the encoded result.
        media_type: what they are.
        model: the version that answered.
        timings_ms: by stage.
        overlay: a picture beside the JSON, where one was asked for.
    """

    data: bytes
    media_type: str
    model: ModelIdentity
    timings_ms: dict[str, float]
    overlay: bytes | None = None


@dataclass(frozen=True)
class _ResponseFormat:
    """How an answer is written.

    Attributes:
        media_type: what it becomes.
        encode: writes a result.
        preview_px: longest side of the picture that it needs, or None for no picture.
        draw: makes a picture beside it.
    """

    media_type: str
    encode: Callable[[AnalysisResult], bytes]
    preview_px: int | None = None
    draw: Callable[[AnalysisResult], bytes] | None = None


class _Body:
    """The body of a request, until it is given away."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def give(self) -> bytes:
        """The bytes, once: whoever has them decides how long they stay in memory."""
        data, self._data = self._data, b""
        return data


class Predictor:
    """Answers questions with the loaded models, within the limits of the settings."""

    def __init__(
        self,
        settings: Settings,
        models: VersionLookup,
        admission: Admission,
        decoders: DecoderPool,
        shadows: Shadows,
    ) -> None:
        self._settings = settings
        self._models = models
        self._admission = admission
        self._decoders = decoders
        self._shadows = shadows
        self._limits = BodyLimits(
            max_bytes=settings.limits.max_body_bytes,
            timeout_s=settings.limits.body_timeout_s,
            max_phrases=settings.limits.max_phrases,
            max_phrase_bytes=4 * settings.limits.max_phrase_chars,
        )

    async def answer(self, request: Request, question: PredictionQuery) -> Response:
        """Answer one request; errors are raised for `problems` to answer."""
        context = context_of(request.scope)
        deadline = self._deadline(request.headers.get("x-request-timeout"))
        written = self._format(request.headers.get("accept"), question, context.request_id)
        with self._models.lease(question.model, question.version, context.request_id) as lease:
            return await self._answer_with(lease, request, question, written, deadline)

    async def _answer_with(
        self,
        lease: Lease,
        request: Request,
        question: PredictionQuery,
        written: _ResponseFormat,
        deadline: Deadline,
    ) -> Response:
        """Answer with the version that the request holds."""
        context, analysis = context_of(request.scope), lease.analysis
        context.model = analysis.identity
        content = content_type(request)
        self._admission.check(deadline)
        plan = None if content.is_form else analysis.plan(_asked(question))
        with self._admission.memory() as memory:
            body = _Body(await read_body(request, self._limits, deadline, memory.take))
            context.timings_ms["receive"] = context.elapsed_ms()
            with self._admission.acquire(deadline, _key(question), context.request_id) as place:

                async def work() -> tuple[EncodedPrediction, BackgroundTask | None]:
                    upload = await self._unpack(content, body, place)
                    asked = _asked(question, upload.phrases)
                    answer, result = await self._answer(
                        analysis, plan or analysis.plan(asked), upload, written, place
                    )
                    return answer, self._copy(lease, asked, upload, result, context.request_id)

                answer, copy = await place.run_until_disconnect(work(), lambda: _gone(request))
        context.timings_ms |= answer.timings_ms
        headers = {"cache-control": "no-store"}
        return Response(answer.data, media_type=answer.media_type, headers=headers, background=copy)

    def _copy(
        self,
        lease: Lease,
        asked: AnalysisRequest,
        upload: Upload,
        result: AnalysisResult,
        request_id: str,
    ) -> BackgroundTask | None:
        """What leaves a copy to the shadow version, once the answer was sent."""
        if lease.shadow is None:
            return None
        copy = Copy(lease.shadow, asked, upload.data, upload.media_type, result, request_id)

        async def offer() -> None:
            self._shadows.offer(copy)

        return BackgroundTask(offer)

    async def analyse(
        self,
        upload: Upload,
        question: PredictionQuery,
        key: str = JOB,
        deadline: Deadline | None = None,
        request_id: str = "",
        *,
        overlay: bool = False,
        analysis: Analysis | None = None,
    ) -> EncodedPrediction:
        """Answer for one file without an HTTP request, as JSON and with an overlay if asked.

        It takes no place from the requests that come in: the caller bounds how many it asks for
        at one time. Its share of the engine is that of `key`. It is answered by `analysis`, which
        the caller holds, or by the version that the question means.

        Raises:
            RadiographError: as for a request.
        """
        deadline = deadline or Deadline(self._settings.limits.max_request_timeout_s)
        if analysis is None:
            with self._models.lease(question.model, question.version, request_id) as lease:
                return await self.analyse(
                    upload,
                    question,
                    key,
                    deadline,
                    request_id,
                    overlay=overlay,
                    analysis=lease.analysis,
                )
        written = self._format(json_encoder.MEDIA_TYPE, question, request_id)
        if overlay:
            written = replace(
                written, draw=png_overlay.encode, preview_px=self._settings.limits.overlay_side_px
            )
        with self._admission.uncounted_permit(deadline, key, request_id) as place:
            plan = analysis.plan(_asked(question, upload.phrases))
            work = self._answer(analysis, plan, upload, written, place)
            answer, _ = await place.run_until_disconnect(work, _never_gone)
            return answer

    async def _unpack(self, content: ContentType, body: _Body, place: Permit) -> Upload:
        """A form is taken apart in a thread; anything else is a file as it came."""
        if not content.is_form:
            return unpack(content, body.give(), self._limits)
        return await place.run_in_thread(lambda: unpack(content, body.give(), self._limits))

    async def _answer(
        self,
        analysis: Analysis,
        plan: Plan,
        upload: Upload,
        written: _ResponseFormat,
        place: Permit,
    ) -> tuple[EncodedPrediction, AnalysisResult]:
        """Decode, infer, and write the answer in a thread."""
        request = analysis.decode_request(upload.data, upload.media_type, written.preview_px)
        inferred = await analysis.run(plan, request, self._decoders, place)

        def write() -> tuple[EncodedPrediction, AnalysisResult]:
            watch = Stopwatch()
            result = analysis.complete(inferred)
            with watch.stage("encode"):
                data = written.encode(result)
                picture = None if written.draw is None else written.draw(result)
            stages = {**result.timings_ms, **watch.ms}
            answer = EncodedPrediction(data, written.media_type, analysis.identity, stages, picture)
            return answer, result

        return await place.run_in_thread(write)

    def _deadline(self, asked: str | None) -> Deadline:
        """The deadline that a client asks for in seconds, or the usual one."""
        if asked is None:
            return Deadline(self._settings.limits.request_timeout_s)
        if not _SECONDS.fullmatch(asked) or not 0 < float(asked) <= self._longest:
            raise MalformedInput(
                f"X-Request-Timeout is a number of seconds up to {self._longest:g}"
            )
        return Deadline(float(asked))

    @property
    def _longest(self) -> float:
        return self._settings.limits.max_request_timeout_s

    def _format(
        self, accept: str | None, question: PredictionQuery, request_id: str
    ) -> _ResponseFormat:
        media_type = negotiate(accept)
        if media_type == png_overlay.MEDIA_TYPE:
            return _ResponseFormat(
                media_type, png_overlay.encode, self._settings.limits.overlay_side_px
            )
        heatmap = question.heatmap
        return _ResponseFormat(
            media_type, lambda result: json_encoder.encode(result, request_id, heatmap)
        )


def _asked(question: PredictionQuery, more_phrases: tuple[str, ...] = ()) -> AnalysisRequest:
    return AnalysisRequest(
        tasks=question.tasks, phrases=question.phrases + more_phrases, method=question.method
    )


def _key(question: PredictionQuery) -> str:
    """Whose share of the engine a question takes: that of its one task, or of several."""
    return question.tasks[0].value if len(question.tasks) == 1 else _SEVERAL


async def _gone(request: Request) -> None:
    """Return when the client has closed the connection; the body was read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _never_gone() -> None:
    """Whoever waits here is cancelled."""
    await asyncio.Event().wait()
