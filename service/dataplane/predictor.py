"""The use case of the service without HTTP: a file and a query become an encoded prediction.

    Upload, PredictionQuery --plan--> heads and phrases          refused here, before any work
    decode (processes) -> infer (batches) -> complete, encode (threads) -> EncodedPrediction

HTTP requests bring a version that they hold and a permit of admission control: `predict_admitted`.
Callers without an HTTP request, such as jobs, call `predict`. Nothing here blocks the event loop:
files are decoded in processes, batches run in the threads of the batcher, and results are
completed and encoded in the threads of admission control.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from service.dataplane.query import PredictionQuery, Upload
from service.dataplane.shadow import ShadowCopy
from service.deadline import Deadline
from service.decoding.pool import DecoderPool
from service.encoders import json_encoder, overlay_encoder, picture_formats
from service.encoders.picture_formats import FORMATS, PNG
from service.inference.analysis import Analysis
from service.inference.results import AnalysisResult, ModelIdentity
from service.inference.types import Inferred
from service.observability.stopwatch import Stopwatch
from service.registry.lookup import VersionLookup
from service.registry.state import Lease, VersionStatus
from service.scheduling.admission import Admission, Permit
from service.scheduling.dynamic_batching import JOB
from service.settings import LimitSettings

JSON = json_encoder.MEDIA_TYPE
RESPONSE_FORMATS = (JSON, *picture_formats.available())
"""Media types that a prediction can be encoded in: JSON, the default, or a picture of it."""


@dataclass(frozen=True)
class EncodedPrediction:
    """One prediction, ready to be sent or kept.

    Attributes:
        data: encoded result.
        media_type: media type of `data`.
        model: version that answered.
        timings_ms: milliseconds by stage.
        overlay: PNG overlay beside the JSON, where one was asked for.
        shadow_copy: copy of the request for the shadow version, or None. It is offered to
            `Shadows` once the response has been sent.
    """

    data: bytes
    media_type: str
    model: ModelIdentity
    timings_ms: dict[str, float]
    overlay: bytes | None = None
    shadow_copy: ShadowCopy | None = None


@dataclass(frozen=True)
class _Encoding:
    """Encoding of one result.

    Attributes:
        media_type: media type of the encoded result.
        encode: encodes a result.
        overlay: also draw a PNG overlay beside it.
        preview_px: longest side of the preview that an overlay is drawn on, or None.
    """

    media_type: str
    encode: Callable[[AnalysisResult], bytes]
    overlay: bool
    preview_px: int | None


class Predictor:
    """Answers queries with the loaded versions.

    Args:
        limits: limits of one request.
        versions: the versions that are served.
        admission: threads for short work, and permits for callers without one.
        decoders: pool that decodes the files.
    """

    def __init__(
        self,
        limits: LimitSettings,
        versions: VersionLookup,
        admission: Admission,
        decoders: DecoderPool,
    ) -> None:
        self._limits = limits
        self._versions = versions
        self._admission = admission
        self._decoders = decoders

    def lease(self, query: PredictionQuery, request_id: str = "") -> AbstractContextManager[Lease]:
        """Hold the version that answers a query until the context ends.

        Raises:
            NotReady: the version is still loading, or failed to load.
            ModelNotFound: no such version is served.
        """
        return self._versions.lease(query.model, query.version, request_id)

    async def predict(
        self,
        upload: Upload,
        query: PredictionQuery,
        response_format: str = JSON,
        *,
        overlay: bool = False,
        analysis: Analysis | None = None,
        deadline: Deadline | None = None,
        key: str = JOB,
        request_id: str = "",
    ) -> EncodedPrediction:
        """Answer a query about one file on behalf of a caller that is not an HTTP request.

        The call takes no place from HTTP requests, so the caller must bound the number of its
        concurrent calls.

        Args:
            upload: the file.
            query: what to answer.
            response_format: one of `RESPONSE_FORMATS`.
            overlay: also draw a PNG overlay beside the JSON.
            analysis: version that answers, held by the caller; the query names it otherwise.
            deadline: when to give up; the longest deadline of a request by default.
            key: queue of the batcher whose share of the batches the call takes.
            request_id: identifier to write into the answer.

        Raises:
            RadiographError: as for an HTTP request.
        """
        deadline = deadline or Deadline(self._limits.max_request_timeout_s)
        encoding = self._encoding(response_format, query, request_id, overlay=overlay)
        with ExitStack() as stack:
            if analysis is None:
                analysis = stack.enter_context(self.lease(query, request_id)).analysis
            permit = stack.enter_context(
                self._admission.uncounted_permit(deadline, key, request_id)
            )
            work = self._predict(analysis, None, permit, upload, query, encoding)
            return await permit.run_until_disconnect(work, _never)

    async def predict_admitted(
        self,
        lease: Lease,
        permit: Permit,
        upload: Upload,
        query: PredictionQuery,
        response_format: str,
    ) -> EncodedPrediction:
        """Answer a query about one file for an HTTP request that was admitted.

        Args:
            lease: from `lease`, for this query.
            permit: permit of the request; the caller runs this coroutine within it.
            upload: the file.
            query: what to answer.
            response_format: one of `RESPONSE_FORMATS`.

        Raises:
            RadiographError: the file, the query, the version or the deadline is at fault.
        """
        encoding = self._encoding(response_format, query, permit.request_id)
        return await self._predict(lease.analysis, lease.shadow, permit, upload, query, encoding)

    async def _predict(
        self,
        analysis: Analysis,
        shadow: VersionStatus | None,
        permit: Permit,
        upload: Upload,
        query: PredictionQuery,
        encoding: _Encoding,
    ) -> EncodedPrediction:
        """Decode, infer, complete and encode; nothing of it blocks the event loop."""
        request = query.analysis_request(upload.phrases)
        plan = analysis.plan(request)
        decode = analysis.decode_request(upload.data, upload.media_type, encoding.preview_px)

        def encode(inferred: Inferred) -> EncodedPrediction:
            watch = Stopwatch()
            result = analysis.complete(inferred)
            with watch.stage("encode"):
                data = encoding.encode(result)
                overlay = overlay_encoder.encode(result) if encoding.overlay else None
            copy = None
            if shadow is not None:
                copy = ShadowCopy(
                    shadow, request, upload.data, upload.media_type, result, permit.request_id
                )
            timings_ms = {**result.timings_ms, **watch.ms}
            return EncodedPrediction(
                data, encoding.media_type, analysis.identity, timings_ms, overlay, copy
            )

        return await analysis.run(plan, decode, self._decoders, permit, encode)

    def _encoding(
        self,
        response_format: str,
        query: PredictionQuery,
        request_id: str,
        *,
        overlay: bool = False,
    ) -> _Encoding:
        if response_format != JSON:
            return _Encoding(
                response_format,
                lambda result: overlay_encoder.encode(result, response_format),
                overlay=False,
                preview_px=self._side_px(query, response_format),
            )
        return _Encoding(
            JSON,
            lambda result: json_encoder.encode(result, request_id, query.heatmap, query.rle),
            overlay=overlay,
            preview_px=self._side_px(query, PNG) if overlay else None,
        )

    def _side_px(self, query: PredictionQuery, picture: str) -> int:
        """Return the longest side of an overlay: as asked for, within settings and format."""
        largest = self._limits.overlay_side_px
        side_px = query.overlay_side_px or largest
        return min(side_px, largest, FORMATS[picture].max_side_px)


async def _never() -> None:
    """Wait until cancelled: a caller without a connection never disconnects."""
    await asyncio.Event().wait()
