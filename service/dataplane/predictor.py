"""The use case of the service without HTTP: a file and a query become an encoded prediction.

    Upload, PredictionQuery --plan--> heads and phrases          refused here, before any work
    decode (processes) -> infer (batches) -> complete, encode (threads) -> EncodedPrediction

HTTP requests bring a version that they hold and a permit of admission control: `predict_admitted`.
Callers without an HTTP request, such as jobs, call `predict`. Nothing here blocks the event loop:
files are decoded in processes, batches run in the threads of the batcher, and results are
completed and encoded in the threads of admission control.
"""

import asyncio
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from service.dataplane.query import PredictionQuery, Upload
from service.dataplane.response_encoding import JSON, ResponseEncoding, ResponseEncodings
from service.dataplane.shadow import ShadowCopy
from service.deadline import Deadline
from service.decoding.pool import DecoderPool
from service.dicom_results.kinds import EncodedObject
from service.dicom_results.options import DicomResultOptions
from service.encoders import overlay_encoder
from service.inference.analysis import Analysis
from service.inference.results import ModelIdentity
from service.inference.types import Inferred
from service.observability.stopwatch import Stopwatch
from service.registry.lookup import VersionLookup
from service.registry.state import Lease, VersionStatus
from service.scheduling.admission import Admission, Permit
from service.scheduling.dynamic_batching import JOB
from service.settings import LimitSettings


@dataclass(frozen=True)
class EncodedPrediction:
    """One prediction, ready to be sent or kept.

    Attributes:
        data: encoded result.
        media_type: media type of `data`.
        model: version that answered.
        timings_ms: milliseconds by stage.
        sop_instance_uid: that of the file, if it has one.
        overlay: PNG overlay beside the JSON, where one was asked for.
        objects: DICOM objects beside the JSON, where they were asked for.
        warnings: codes of the warnings of the result, each once.
        shadow_copy: copy of the request for the shadow version, or None. It is offered to
            `Shadows` once the response has been sent.
    """

    data: bytes
    media_type: str
    model: ModelIdentity
    timings_ms: dict[str, float]
    sop_instance_uid: str | None = None
    overlay: bytes | None = None
    objects: tuple[EncodedObject, ...] = ()
    warnings: tuple[str, ...] = ()
    shadow_copy: ShadowCopy | None = None


class Predictor:
    """Answers queries with the loaded versions.

    Args:
        limits: limits of one request.
        versions: the versions that are served.
        admission: threads for short work, and permits for callers without one.
        decoders: pool that decodes the files.
        dicom_options: choices of the site about DICOM objects.
    """

    def __init__(
        self,
        limits: LimitSettings,
        versions: VersionLookup,
        admission: Admission,
        decoders: DecoderPool,
        dicom_options: DicomResultOptions | None = None,
    ) -> None:
        self._limits = limits
        self._encodings = ResponseEncodings(limits, dicom_options or DicomResultOptions())
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
        objects: bool = False,
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
            objects: also make the DICOM objects of the query beside the JSON.
            analysis: version that answers, held by the caller; the query names it otherwise.
            deadline: when to give up; the longest deadline of a request by default.
            key: queue of the batcher whose share of the batches the call takes.
            request_id: identifier to write into the answer.

        Raises:
            RadiographError: as for an HTTP request.
        """
        deadline = deadline or Deadline(self._limits.max_request_timeout_s)
        encoding = self._encodings.of(
            response_format, query, request_id, overlay=overlay, objects=objects
        )
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
            response_format: one of `RESPONSE_FORMATS`, or `WITH_PIXELS`.

        Raises:
            RadiographError: the file, the query, the version or the deadline is at fault.
        """
        encoding = self._encodings.of(response_format, query, permit.request_id)
        return await self._predict(lease.analysis, lease.shadow, permit, upload, query, encoding)

    async def _predict(
        self,
        analysis: Analysis,
        shadow: VersionStatus | None,
        permit: Permit,
        upload: Upload,
        query: PredictionQuery,
        encoding: ResponseEncoding,
    ) -> EncodedPrediction:
        """Decode, infer, complete and encode; nothing of it blocks the event loop."""
        request = query.analysis_request(upload.phrases)
        plan = analysis.plan(request)
        encoding.check(upload, plan.tasks)
        decode = analysis.decode_request(
            upload.data, upload.media_type, encoding.preview_px, encoding.pixels_px
        )

        def encode(inferred: Inferred) -> EncodedPrediction:
            watch = Stopwatch()
            result = analysis.complete(inferred)
            with watch.stage("encode"):
                data = encoding.encode(result, upload)
                overlay = overlay_encoder.encode(result) if encoding.overlay else None
                objects = encoding.beside(result, upload) if encoding.beside else ()
            copy = None
            if shadow is not None:
                copy = ShadowCopy(
                    shadow, request, upload.data, upload.media_type, result, permit.request_id
                )
            timings_ms = {**result.timings_ms, **watch.ms}
            return EncodedPrediction(
                data=data,
                media_type=encoding.media_type,
                model=analysis.identity,
                timings_ms=timings_ms,
                sop_instance_uid=result.image.sop_instance_uid,
                overlay=overlay,
                objects=objects,
                warnings=tuple(dict.fromkeys(item.code for item in result.warnings)),
                shadow_copy=copy,
            )

        return await analysis.run(plan, decode, self._decoders, permit, encode)


async def _never() -> None:
    """Wait until cancelled: a caller without a connection never disconnects."""
    await asyncio.Event().wait()
