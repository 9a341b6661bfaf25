"""Analysis: the one use case. Bytes and tasks in, a result in source pixels out.

    request --plan--> heads, phrases          refused here, before any work is done
    bytes --Decoders--> tensor, geometry, facts
    phrases --text side (kept)--> features    at the same time
    tensor, features --Engine--> trunk once for the batch, each head on its part --> raw outputs
    raw outputs --heads.*--> result in source pixels

No HTTP and no runtime in here: a backend is handed in, errors are those of
`radiograph.errors`. `run` is for the event loop and leaves what blocks to processes and threads;
`run_here` does the same in the calling thread, without batches.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from radiograph.errors import TaskNotOffered, UnusablePhrase
from radiograph.manifest import HeadSpec, ModelManifest, Task
from radiograph.postprocess import heads
from radiograph.postprocess.heads import Detection, Finding, Grounding, Mask
from radiograph.readers.read import UNKNOWN
from service.backends.base import GLOBAL_FEATURES, Backend, FloatArray, on_behalf_of
from service.deadline import Deadline
from service.decoding.decode import DecodedImage, DecodeRequest, decode
from service.decoding.pool import DecoderPool
from service.inference.out_of_distribution import OutOfDistributionDetector, notices
from service.inference.phrase_encoder import PhraseEncoder, normalise
from service.inference.results import AnalysisResult, DomainScore, ModelIdentity
from service.inference.types import (
    AnalysisRequest,
    BatchItem,
    Features,
    Inferred,
    Plan,
    RawOutputs,
)
from service.observability.observer import NULL_OBSERVER
from service.scheduling.admission import Permit
from service.scheduling.dynamic_batching import BatchQueue, DynamicBatcher
from service.settings import LimitSettings

_PHRASE_FEATURES = "phrase_features"


class Analysis:
    """Answers requests with one loaded version. Safe to call from several threads.

    Args:
        identity: the version, as the answers name it.
        manifest: what the version is.
        folder: where its tokenizer and statistics lie.
        backend: what runs its graphs; closed with the analysis.
        limits: how much one request may ask for.
        engine: runs its batches; without one only `run_here` answers.
    """

    def __init__(
        self,
        identity: ModelIdentity,
        manifest: ModelManifest,
        folder: Path,
        backend: Backend,
        limits: LimitSettings,
        engine: DynamicBatcher | None = None,
    ) -> None:
        """Read what the version needs beside its graphs, and measure its batches.

        Raises:
            InvalidVersion: the tokenizer or the statistics cannot be read.
        """
        self.identity = identity
        self.manifest = manifest
        self._backend = backend
        self._limits = limits
        self._domain = OutOfDistributionDetector.load(folder, manifest.out_of_domain)
        self._phrases: PhraseEncoder | None = None
        if manifest.text is not None:
            kept = limits.phrase_cache
            self._phrases = PhraseEncoder(backend, manifest.text, folder, kept)
        self._observer = NULL_OBSERVER if engine is None else engine.observer
        self._channel: BatchQueue[BatchItem, RawOutputs] | None = None
        if engine is not None:
            graph = manifest.files[manifest.trunk.file]
            self._channel = engine.open_queue(self.infer, engine.max_batch(graph, self._blank))

    def plan(self, request: AnalysisRequest) -> Plan:
        """Refuse what cannot be answered before any work is done on the image. Does not block.

        Raises:
            TaskNotOffered: the version has no head for a task or method.
            UnusablePhrase: a phrase is missing, or one that cannot be used.
        """
        tasks = request.tasks or self._offered(with_phrases=bool(request.phrases))
        chosen = {
            name: head for task in tasks for name, head in self._heads(task, request.method).items()
        }
        phrases: tuple[str, ...] = ()
        if Task.GROUND in tasks:
            phrases = self._checked(request.phrases)
        elif request.phrases:
            raise UnusablePhrase("a phrase was given, but the task `ground` was not asked for")
        return Plan(chosen, tasks, phrases)

    def order(self, data: bytes, media_type: str, preview_px: int | None = None) -> DecodeRequest:
        """What to read of a file for this version."""
        return DecodeRequest(
            data, media_type, self.manifest.preprocess, self._limits.image, preview_px
        )

    async def run(
        self, plan: Plan, order: DecodeRequest, decoders: DecoderPool, place: Permit
    ) -> Inferred:
        """Decode and infer one radiograph, on the event loop.

        Args:
            plan: from `plan`.
            order: from `order`.
            decoders: where it is decoded.
            place: the request's; it is told of everything that runs.

        Raises:
            InputError: the bytes are at fault.
            DeadlineExceeded, ClientGone, Overloaded: it was given up.
            BackendFailure: a graph failed.
        """
        if self._channel is None:
            raise RuntimeError("made without an engine")
        started = time.perf_counter()
        decoding = place.track(decoders.submit(order, place.deadline))
        text, text_ms = await self._text(plan, place)
        decoded = await place.wait(decoding)
        middle = time.perf_counter()
        work = BatchItem(
            decoded.tensor, plan, text, place.deadline, place.request_id, alone=place.alone
        )
        raw = await place.wait(self._channel.submit(place.key, work, place.deadline))
        place.deadline.check()  # what passed on the way was left out of the batch
        computed_ms = sum(raw.timings_ms.values())
        queue_ms = (time.perf_counter() - middle) * 1e3 - computed_ms
        timings = {**decoded.timings_ms, **text_ms, "queue": queue_ms, **raw.timings_ms}
        return Inferred(plan, decoded, raw, timings, started)

    def run_here(
        self,
        request: AnalysisRequest,
        data: bytes,
        media_type: str = UNKNOWN,
        preview_px: int | None = None,
    ) -> AnalysisResult:
        """Answer one request in this thread, alone.

        Raises:
            InputError: the bytes or the phrases are at fault.
            TaskNotOffered: the version has no head for a task or method.
            InvalidVersion: the version gave something that is no answer.
        """
        started = time.perf_counter()
        plan = self.plan(request)
        decoded = decode(self.order(data, media_type, preview_px))
        text = self._phrases.features(plan.phrases) if plan.phrases and self._phrases else None
        (raw,) = self.infer([BatchItem(decoded.tensor, plan, text, Deadline(float("inf")))])
        timings = {**decoded.timings_ms, **raw.timings_ms}
        return self.complete(Inferred(plan, decoded, raw, timings, started))

    def infer(self, batch: Sequence[BatchItem]) -> list[RawOutputs]:
        """Run one batch: the trunk once, each head on those that ask for it. Blocks.

        Raises:
            BackendFailure: a graph failed.
        """
        start = time.perf_counter()
        alone = all(work.alone for work in batch)
        with on_behalf_of(*(work.request_id for work in batch), alone=alone):
            if self._backend.remote:
                raws = self._ask_remote(batch)
            else:
                raws = self._run_trunk_and_heads(batch)
        self._observer.batch(str(self.identity), len(batch), time.perf_counter() - start)
        return raws

    def complete(self, inferred: Inferred) -> AnalysisResult:
        """Raw outputs -> the result in source pixels. Blocks.

        Raises:
            InvalidVersion: the version gave something that is no answer.
        """
        start = time.perf_counter()
        plan, decoded = inferred.plan, inferred.decoded
        answers: dict[Task, list[Any]] = {task: [] for task in plan.tasks}
        for name, head in plan.heads.items():
            answers[head.kind] += _results(head, inferred.raw.outputs[name], plan, decoded)
        answers.get(Task.DETECT, []).sort(key=lambda found: -found.score)  # of several heads
        domain = self._score(inferred.raw)
        self._tell(decoded, domain, answers.get(Task.CLASSIFY, ()))
        end = time.perf_counter()
        timings = {**inferred.timings_ms, "results": (end - start) * 1e3}
        return AnalysisResult(
            model=self.identity,
            preprocess=self.manifest.preprocess,
            image=decoded.image,
            warnings=notices(decoded.image.warnings, domain),
            out_of_domain=domain,
            timings_ms={**timings, "total": (end - inferred.started) * 1e3},
            preview=decoded.preview,
            **{_FIELDS[task]: tuple(items) for task, items in answers.items()},
        )

    def close(self) -> None:
        """Answer what was taken in, then free the version."""
        if self._channel is not None:
            self._channel.close()
        self._backend.close()

    def _offered(self, *, with_phrases: bool) -> tuple[Task, ...]:
        return tuple(
            task for task in self.manifest.tasks if task is not Task.GROUND or with_phrases
        )

    def _heads(self, task: Task, method: str | None) -> dict[str, HeadSpec]:
        """The heads for a task: every one, but a single one for `ground`."""
        offered = self.manifest.heads_for(task)
        if task is not Task.GROUND:
            found = offered
        else:
            fitting = {n: h for n, h in offered.items() if method in (None, h.method)}
            found = dict(list(fitting.items())[:1])
        if not found:
            asked = f"{task}" if task is not Task.GROUND or not offered else f"{task} ({method})"
            raise TaskNotOffered(f"{self.identity} does not offer {asked}")
        return found

    def _checked(self, phrases: tuple[str, ...]) -> tuple[str, ...]:
        if self._phrases is None:
            raise TaskNotOffered(f"{self.identity} has no text side")
        if not phrases:
            raise UnusablePhrase("say what to look for: `phrase` is missing")
        if len(phrases) > self._limits.max_phrases:
            raise UnusablePhrase(f"at most {self._limits.max_phrases} phrases in one request")
        normal = tuple(normalise(phrase, self._limits.max_phrase_chars) for phrase in phrases)
        for phrase in normal:
            self._phrases.tokens(phrase)
        return normal

    async def _text(self, plan: Plan, place: Permit) -> tuple[FloatArray | None, dict[str, float]]:
        """Features of the phrases, and the time they took: none where they are kept."""
        phrases = self._phrases
        if phrases is None or not plan.phrases:
            return None, {}
        known = phrases.known(plan.phrases)
        if known is not None:
            return known, {}
        start = time.perf_counter()
        text = await place.run_in_thread(lambda: phrases.features(plan.phrases))
        return text, {"text": (time.perf_counter() - start) * 1e3}

    def _run_trunk_and_heads(self, batch: Sequence[BatchItem]) -> list[RawOutputs]:
        """The trunk over the whole batch, as far as its heads read; each head over its part."""
        start = time.perf_counter()
        read = {item for work in batch for h in work.plan.heads.values() for item in h.inputs}
        images = np.stack([work.tensor for work in batch])
        features = self._backend.trunk(images, read - {_PHRASE_FEATURES} | {GLOBAL_FEATURES})
        middle = time.perf_counter()
        outputs: list[dict[str, Features]] = [{} for _ in batch]
        for name, rows in self._parts(batch):
            raw = self._backend.head(*self._feeds(name, rows, batch, features))
            for at, row in enumerate(rows):
                outputs[row][name] = _row(raw, at)
        end = time.perf_counter()
        timings = {"trunk": (middle - start) * 1e3, "heads": (end - middle) * 1e3}
        vectors = np.asarray(features[GLOBAL_FEATURES])
        return [RawOutputs(of_one, vectors[row], timings) for row, of_one in enumerate(outputs)]

    def _ask_remote(self, batch: Sequence[BatchItem]) -> list[RawOutputs]:
        """One call for all that ask the same, so that features stay where they are computed."""
        groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[int]] = {}
        for row, work in enumerate(batch):
            groups.setdefault((tuple(work.plan.heads), work.plan.phrases), []).append(row)
        found: dict[int, RawOutputs] = {}
        for (names, _), rows in groups.items():
            start = time.perf_counter()
            images = np.stack([batch[row].tensor for row in rows])
            answers = self._backend.answers(images, names, batch[rows[0]].text)
            timings = {"trunk": (time.perf_counter() - start) * 1e3, "heads": 0.0}
            for at, row in enumerate(rows):
                outputs = {name: _row(raw, at) for name, raw in answers.heads.items()}
                of_image = answers.features[GLOBAL_FEATURES][at]
                found[row] = RawOutputs(outputs, of_image, timings)
        return [found[row] for row in range(len(batch))]

    def _parts(self, batch: Sequence[BatchItem]) -> list[tuple[str, list[int]]]:
        """(head, rows of the batch) to run; rows that differ in the phrases they ask for apart.

        Rows that nobody waits for any more are left out.
        """
        parts: dict[tuple[str, tuple[str, ...]], list[int]] = {}
        for row, work in enumerate(batch):
            if work.deadline.over():
                continue
            for name, head in work.plan.heads.items():
                phrases = work.plan.phrases if _PHRASE_FEATURES in head.inputs else ()
                parts.setdefault((name, phrases), []).append(row)
        return [(name, rows) for (name, _), rows in parts.items()]

    def _feeds(
        self, name: str, rows: list[int], batch: Sequence[BatchItem], features: Features
    ) -> tuple[str, Features]:
        """A head and its inputs for some rows of a batch."""
        feeds: Features = {}
        for item in self.manifest.heads[name].inputs:
            text = batch[rows[0]].text
            if item == _PHRASE_FEATURES and text is not None:
                feeds[item] = text
            else:
                feeds[item] = features[item] if len(rows) == len(batch) else features[item][rows]
        return name, feeds

    def _blank(self, size: int) -> None:
        """Answer everything but phrases for black images, to see how long that takes."""
        side = self.manifest.preprocess.size_px
        names = [
            n for n, head in self.manifest.heads.items() if _PHRASE_FEATURES not in head.inputs
        ]
        self._backend.answers(np.zeros((size, 1, side, side), np.float32), names)

    def _score(self, raw: RawOutputs) -> DomainScore | None:
        if self._domain is None or raw.global_features is None:
            return None
        return self._domain.score(raw.global_features)

    def _tell(
        self, decoded: DecodedImage, domain: DomainScore | None, findings: Sequence[Finding]
    ) -> None:
        """Tell the observer what drift is seen by."""
        model = str(self.identity)
        values = {"mean": float(decoded.tensor.mean()), "std": float(decoded.tensor.std())}
        if domain is not None:
            values["out_of_domain"] = domain.score
        self._observer.input_statistics(model, values)
        if findings:
            self._observer.scores(model, {item.name: item.probability for item in findings})


_FIELDS = {
    Task.CLASSIFY: "findings",
    Task.SEGMENT: "masks",
    Task.DETECT: "detections",
    Task.GROUND: "groundings",
}


def _row(arrays: Features, at: int) -> Features:
    """One image of a batch."""
    return {name: value[at] for name, value in arrays.items()}


def _results(
    head: HeadSpec, outputs: Features, plan: Plan, decoded: DecodedImage
) -> tuple[Finding | Mask | Detection | Grounding, ...]:
    """A head's raw outputs for one image -> results in source pixels."""
    match head.kind:
        case Task.CLASSIFY:
            return heads.classify(head, outputs)
        case Task.SEGMENT:
            return heads.segment(head, outputs, decoded.geometry, decoded.image.spacing_mm)
        case Task.DETECT:
            return heads.detect(head, outputs, decoded.geometry)
        case Task.GROUND:
            return heads.ground(head, outputs, plan.phrases, decoded.geometry)
