"""Answers: one request for a radiograph, from its headers to the bytes of the response.

    Accept, model, Content-Type --cheap refusals--> body --> place --> worker thread
                      unpack -> Analysis.run -> encoder -> bytes <-----------'

Everything that blocks happens in the worker thread; the event loop only moves bytes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from radiograph.errors import MalformedInput
from radiograph.manifest import Task
from service.admission import Admission, Deadline
from service.analysis import AnalysisRequest, Stopwatch
from service.api import intake
from service.api.context import context_of
from service.api.negotiation import negotiate
from service.encoders import json, png
from service.encoders.json import HeatmapEncoding
from service.loading import Models
from service.results import AnalysisResult
from service.settings import Settings

_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")


@dataclass(frozen=True)
class Question:
    """What the address and its query ask for.

    Attributes:
        tasks: empty is everything that the version offers.
        phrases: from the query; those of a form are added.
        method: which grounding, or None.
        heatmap: how heat maps are written in JSON.
        model, version: which version answers, or None for the default.
    """

    tasks: tuple[Task, ...]
    phrases: tuple[str, ...] = ()
    method: str | None = None
    heatmap: HeatmapEncoding = "png"
    model: str | None = None
    version: str | None = None


class Answerer:
    """Answers questions with the loaded models, within the limits of the settings."""

    def __init__(self, settings: Settings, models: Models, admission: Admission) -> None:
        self._settings = settings
        self._models = models
        self._admission = admission
        self._limits = intake.BodyLimits(
            max_bytes=settings.max_body_bytes,
            timeout_s=settings.body_timeout_s,
            max_phrases=settings.max_phrases,
            max_phrase_bytes=4 * settings.max_phrase_chars,
        )

    async def answer(self, request: Request, question: Question) -> Response:
        """Answer one request; errors are raised for `problems` to answer."""
        context = context_of(request.scope)
        deadline = self._deadline(request.headers.get("x-request-timeout"))
        media_type = negotiate(request.headers.get("accept"))
        analysis = self._models.ready(question.model, question.version)
        context.model = analysis.identity
        content = intake.content_type(request)
        self._admission.check()
        with self._admission.memory() as take:
            body = await intake.read_body(request, self._limits, deadline, take)
            context.timings_ms["receive"] = context.elapsed_ms()
            encode = self._encoder(media_type, question, context.request_id)

            def work() -> tuple[bytes, dict[str, float]]:
                deadline.check()
                watch = Stopwatch()
                with watch.stage("unpack"):
                    upload = intake.unpack(content, body, self._limits)
                result = analysis.run(_asked(question, upload), deadline.check)
                with watch.stage("encode"):
                    data = encode(result)
                return data, {**result.timings_ms, **watch.ms}

            with self._admission.enter() as place:
                data, stages = await place.run(work, deadline, lambda: _gone(request))
        context.timings_ms |= stages
        return Response(data, media_type=media_type, headers={"cache-control": "no-store"})

    def _deadline(self, asked: str | None) -> Deadline:
        """The deadline that a client asks for in seconds, or the usual one."""
        if asked is None:
            return Deadline(self._settings.request_timeout_s)
        if not _SECONDS.fullmatch(asked) or not 0 < float(asked) <= self._longest:
            raise MalformedInput(
                f"X-Request-Timeout is a number of seconds up to {self._longest:g}"
            )
        return Deadline(float(asked))

    @property
    def _longest(self) -> float:
        return self._settings.max_request_timeout_s

    def _encoder(
        self, media_type: str, question: Question, request_id: str
    ) -> Callable[[AnalysisResult], bytes]:
        if media_type == png.MEDIA_TYPE:
            return lambda result: png.encode(result, self._settings.overlay_side_px)
        return lambda result: json.encode(result, request_id, question.heatmap)


def _asked(question: Question, upload: intake.Upload) -> AnalysisRequest:
    return AnalysisRequest(
        data=upload.data,
        media_type=upload.media_type,
        tasks=question.tasks,
        phrases=question.phrases + upload.phrases,
        method=question.method,
    )


async def _gone(request: Request) -> None:
    """Return when the client has closed the connection; the body was read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
