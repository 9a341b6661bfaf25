"""Analysis: one loaded version applied to one radiograph, from bytes to results in source pixels.

    request --Planner--> plan                       refused here, before any work is done
    bytes --DecoderPool--> tensor, geometry, facts
    phrases --PhraseEncoder--> features             at the same time as decoding
    tensor, features --DynamicBatcher, BatchRunner--> raw outputs
    raw outputs --postprocess, OutOfDistributionDetector, checks--> AnalysisResult

There is no HTTP and no runtime in here: the backend is handed in, and errors are those of
`radiograph.errors`. `run` is for the event loop and leaves blocking work to processes and threads;
`run_here` does the same in the calling thread, without batches.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from radiograph.manifest import CHECK, HeadKind, HeadSpec, ModelManifest, Task
from radiograph.postprocess import heads
from radiograph.postprocess.grounding import Grounding
from radiograph.postprocess.heads import Detection, Finding, Mask
from radiograph.postprocess.measurements import Measurement, measure
from radiograph.postprocess.uncertainty import uncertainties
from radiograph.readers.read import UNKNOWN
from service.backends.base import Backend, FloatArray
from service.deadline import Deadline
from service.decoding.decode import DecodedImage, DecodeRequest, decode
from service.decoding.pool import DecoderPool
from service.inference.batch_runner import BatchRunner
from service.inference.out_of_distribution import OutOfDistributionDetector
from service.inference.phrase_encoder import PhraseEncoder
from service.inference.pixel_checks import notices
from service.inference.planner import Planner
from service.inference.results import AnalysisResult, ModelIdentity, OutOfDistributionScore
from service.inference.types import (
    AnalysisRequest,
    BatchItem,
    Features,
    Inferred,
    Plan,
    RawOutputs,
)
from service.observability.observer import NULL_OBSERVER
from service.scheduling.admission import Permit, together
from service.scheduling.dynamic_batching import BatchQueue, DynamicBatcher
from service.settings import LimitSettings

R = TypeVar("R")

CARD_NAME = "MODEL_CARD.md"


class Analysis:
    """Answers requests with one loaded version. Safe to call from several threads.

    Args:
        identity: the version, as results name it.
        manifest: manifest of the version.
        folder: the version's folder, with its tokenizer and statistics.
        backend: runs the graphs; closed with the analysis.
        limits: bounds of one request.
        batcher: runs the batches; without one only `run_here` answers.

    Attributes:
        identity, manifest: the same.
        card: text of the model card, Markdown, or None if the version has none.
    """

    def __init__(
        self,
        identity: ModelIdentity,
        manifest: ModelManifest,
        folder: Path,
        backend: Backend,
        limits: LimitSettings,
        batcher: DynamicBatcher | None = None,
    ) -> None:
        """Read the tokenizer and the statistics, and measure the best batch size.

        Raises:
            InvalidVersion: the tokenizer or the statistics cannot be read.
        """
        self.identity = identity
        self.manifest = manifest
        self.card = _card(folder, manifest)
        self._backend = backend
        self._limits = limits
        self._detector = OutOfDistributionDetector.load(folder, manifest.out_of_domain)
        self._phrases: PhraseEncoder | None = None
        if manifest.text is not None:
            self._phrases = PhraseEncoder(backend, manifest.text, folder, limits.phrase_cache)
        self._planner = Planner(str(identity), manifest, self._phrases, limits)
        self._observer = NULL_OBSERVER if batcher is None else batcher.observer
        self._runner = BatchRunner(str(identity), manifest, backend, self._observer)
        self._queue: BatchQueue[BatchItem, RawOutputs] | None = None
        if batcher is not None:
            digest = manifest.files[manifest.in_precision(identity.variant).trunk.file]
            max_batch = batcher.max_batch(digest, self._runner.run_blank)
            self._queue = batcher.open_queue(self._runner.run, max_batch)

    def plan(self, request: AnalysisRequest) -> Plan:
        """Plan a request, or refuse it before any work is done on the image. Does not block.

        Raises:
            TaskNotOffered: the version has no head for a task or method.
            UnusablePhrase: a phrase is missing, or one cannot be used.
        """
        return self._planner.plan(request)

    def decode_request(
        self,
        data: bytes,
        media_type: str,
        preview_px: int | None = None,
        pixels_px: int | None = None,
    ) -> DecodeRequest:
        """Return how to decode a file for this version.

        Args:
            data: bytes of the file.
            media_type: media type of the file, or `UNKNOWN`.
            preview_px: longest side of a preview to draw on, or None for no preview.
            pixels_px: longest side of the displayed pixels, or None for none.
        """
        spec, limits = self.manifest.preprocess, self._limits.image
        return DecodeRequest(data, media_type, spec, limits, preview_px, pixels_px)

    async def run(
        self,
        plan: Plan,
        decode_request: DecodeRequest,
        decoders: DecoderPool,
        permit: Permit,
        finish: Callable[[Inferred], R],
    ) -> R:
        """Decode and infer one radiograph; called on the event loop.

        Each stage starts the next one in its own thread; the event loop is only woken at the end.

        Args:
            plan: result of `plan`.
            decode_request: result of `decode_request`.
            decoders: decode the file.
            permit: permit of the request; it tracks every piece of work.
            finish: called in a thread of admission control; its result is returned. May block.

        Raises:
            InputError: the file is at fault.
            DeadlineExceeded, ClientGone, Overloaded: the request was given up.
            BackendFailure: a graph failed.
        """
        if self._queue is None:
            raise RuntimeError("this analysis has no batcher; only `run_here` answers")
        queue, started = self._queue, time.perf_counter()
        decoding = permit.track(decoders.submit(decode_request, permit.deadline, permit.client))
        phrase_features, text_ms = await self._encode_phrases(plan, permit)

        def infer(decoded: DecodedImage) -> Future[R]:
            queued = time.perf_counter()

            def complete(raws: Sequence[RawOutputs]) -> Future[R]:
                raw = raws[0]
                computed_ms = sum(raw.timings_ms.values())
                queue_ms = (time.perf_counter() - queued) * 1e3 - computed_ms
                timings = {**decoded.timings_ms, **text_ms, "queue": queue_ms, **raw.timings_ms}
                seen = tuple(zip(views, raws[1:], strict=True))
                inferred = Inferred(plan, decoded, raw, timings, started, seen)

                def work() -> R:
                    permit.deadline.check()  # an item that was over was left out of the heads
                    return finish(inferred)

                return permit.submit(work)

            views = self._views(plan, decoded)
            items = [_item(image, plan, phrase_features, permit) for image in (decoded, *views)]
            batched = [permit.track(queue.submit(permit.key, i, permit.deadline)) for i in items]
            return permit.then(together(batched), complete)

        return await permit.wait(permit.then(decoding, infer))

    def run_here(
        self,
        request: AnalysisRequest,
        data: bytes,
        media_type: str = UNKNOWN,
        preview_px: int | None = None,
    ) -> AnalysisResult:
        """Answer one request in the calling thread, as a batch of one. Blocks.

        Raises:
            InputError: the file or the phrases are at fault.
            TaskNotOffered: the version has no head for a task or method.
            InvalidVersion: an output of the version is not usable.
        """
        started = time.perf_counter()
        plan = self.plan(request)
        decoded = decode(self.decode_request(data, media_type, preview_px))
        phrase_features = None
        if plan.phrases and self._phrases is not None:
            phrase_features = self._phrases.encode(plan.phrases)
        no_deadline = Deadline(float("inf"))
        views = self._views(plan, decoded)
        images = (decoded, *views)
        items = [BatchItem(image.tensor, plan, phrase_features, no_deadline) for image in images]
        raw, *others = self._runner.run(items)
        timings = {**decoded.timings_ms, **raw.timings_ms}
        seen = tuple(zip(views, others, strict=True))
        return self.complete(Inferred(plan, decoded, raw, timings, started, seen))

    def complete(self, inferred: Inferred) -> AnalysisResult:
        """Turn raw outputs into a result in source pixels. Blocks.

        Raises:
            InvalidVersion: an output of the version is not usable.
        """
        start = time.perf_counter()
        plan, decoded = inferred.plan, inferred.decoded
        answers, checks = _answers(plan, decoded, inferred.raw)
        uncertainty = None
        if inferred.views:
            views = [_answers(plan, image, raw)[0] for image, raw in inferred.views]
            uncertainty = {
                task: uncertainties(items, [view[task] for view in views])
                for task, items in answers.items()
            }
        score = None
        if self._detector is not None:
            score = self._detector.score(inferred.raw.global_features)
        self._observe(decoded, score, answers.get(Task.CLASSIFY, ()))
        end = time.perf_counter()
        timings = {**inferred.timings_ms, "results": (end - start) * 1e3}
        return AnalysisResult(
            model=self.identity,
            preprocess=self.manifest.preprocess,
            image=decoded.image,
            warnings=notices(decoded.image.warnings, score, checks),
            out_of_domain=score,
            timings_ms={**timings, "total": (end - inferred.started) * 1e3},
            preview=decoded.preview,
            displayed=decoded.displayed,
            measurements=_measurements(answers.get(Task.SEGMENT), decoded),
            uncertainty=uncertainty,
            **{_FIELDS[task]: tuple(items) for task, items in answers.items()},
        )

    def close(self) -> None:
        """Finish the accepted items, then free the version. Blocks."""
        if self._queue is not None:
            self._queue.close()
        self._backend.close()

    def _views(self, plan: Plan, decoded: DecodedImage) -> tuple[DecodedImage, ...]:
        """Return the image as each view of the plan changes it."""
        spec, images = self.manifest.preprocess, []
        for view in plan.views:
            tensor, geometry = view.of(decoded.tensor, decoded.geometry, spec)
            images.append(replace(decoded, tensor=tensor, geometry=geometry))
        return tuple(images)

    async def _encode_phrases(
        self, plan: Plan, permit: Permit
    ) -> tuple[FloatArray | None, dict[str, float]]:
        """Return the features of the phrases, and the time taken; empty if they were cached."""
        encoder = self._phrases
        if encoder is None or not plan.phrases:
            return None, {}
        cached = encoder.cached(plan.phrases)
        if cached is not None:
            return cached, {}
        start = time.perf_counter()
        features = await permit.run_in_thread(lambda: encoder.encode(plan.phrases))
        return features, {"text": (time.perf_counter() - start) * 1e3}

    def _observe(
        self,
        decoded: DecodedImage,
        score: OutOfDistributionScore | None,
        findings: Sequence[Finding],
    ) -> None:
        """Report the statistics by which drift of inputs and outputs is detected."""
        model = str(self.identity)
        values = {"mean": float(decoded.tensor.mean()), "std": float(decoded.tensor.std())}
        if score is not None:
            values["out_of_domain"] = score.score
        self._observer.input_statistics(model, values)
        if findings:
            self._observer.scores(model, {item.name: item.probability for item in findings})


def _card(folder: Path, manifest: ModelManifest) -> str | None:
    """Return the model card of a version, whose digest is in its manifest."""
    if CARD_NAME not in manifest.files:
        return None
    return (folder / CARD_NAME).read_text(encoding="utf-8", errors="replace")


_FIELDS: Mapping[HeadKind, str] = {
    Task.CLASSIFY: "findings",
    Task.SEGMENT: "masks",
    Task.DETECT: "detections",
    Task.GROUND: "groundings",
}


def _item(
    image: DecodedImage, plan: Plan, phrase_features: FloatArray | None, permit: Permit
) -> BatchItem:
    """Return an image of a request as an item of a batch."""
    return BatchItem(
        image.tensor,
        plan,
        phrase_features,
        permit.deadline,
        permit.request_id,
        alone=permit.alone,
    )


def _answers(
    plan: Plan, decoded: DecodedImage, raw: RawOutputs
) -> tuple[dict[Task, list[Any]], list[Finding]]:
    """Return the results by task, and those of the checks."""
    answers: dict[HeadKind, list[Any]] = {task: [] for task in plan.tasks}
    answers[CHECK] = []
    for name, head in plan.heads.items():
        answers[head.kind] += _postprocess(head, raw.heads[name], plan, decoded)
    checks = answers.pop(CHECK)
    # Several heads may detect; one order by score goes over all of them.
    answers.get(Task.DETECT, []).sort(key=lambda detection: -detection.score)
    return {Task(kind): items for kind, items in answers.items()}, checks


def _measurements(
    masks: Sequence[Mask] | None, decoded: DecodedImage
) -> tuple[Measurement, ...] | None:
    """Measure the masks; None if none were requested."""
    if masks is None:
        return None
    image = decoded.image
    return measure(masks, decoded.geometry, image.laterality, image.view_position)


def _postprocess(
    head: HeadSpec, outputs: Features, plan: Plan, decoded: DecodedImage
) -> tuple[Finding | Mask | Detection | Grounding, ...]:
    """Turn a head's raw outputs for one image into results in source pixels."""
    match head.kind:
        case Task.CLASSIFY | "check":
            return heads.classify(head, outputs)
        case Task.SEGMENT:
            return heads.segment(head, outputs, decoded.geometry, decoded.image.spacing_mm)
        case Task.DETECT:
            return heads.detect(head, outputs, decoded.geometry)
        case Task.GROUND:
            return heads.ground(head, outputs, plan.phrases, decoded.geometry)
