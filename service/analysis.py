"""Analysis: the one use case. Bytes and tasks in, a result in source pixels out.

    bytes -> read -> Radiograph -> preprocess -> trunk (once) -> features
                                                    features -> head -> heads.* -> result
                                   phrases -> text (kept) ----^

No HTTP and no runtime in here: a backend is handed in, errors are those of
`radiograph.errors`. Calls block and are made off the event loop.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiograph import dicom, heads, raster
from radiograph.errors import (
    InvalidVersion,
    MalformedInput,
    TaskNotOffered,
    UnsupportedEncoding,
    UnusablePhrase,
)
from radiograph.geometry import Geometry
from radiograph.heads import Detection, Finding, Grounding, Mask
from radiograph.image import Radiograph
from radiograph.manifest import HeadSpec, ModelManifest, OutOfDomainSpec, Task
from radiograph.preprocess import preprocess
from service.backends.base import Backend, FloatArray
from service.golden import read_arrays
from service.phrases import PhraseEncoder, normalise
from service.results import AnalysisResult, DomainScore, ModelIdentity, Notice

DICOM = "application/dicom"
PNG = "image/png"
JPEG = "image/jpeg"
UNKNOWN = "application/octet-stream"
MEDIA_TYPES = (DICOM, PNG, JPEG, UNKNOWN)

_SIGNATURES = {PNG: b"\x89PNG\r\n\x1a\n", JPEG: b"\xff\xd8\xff"}
_CODED_WARNING = re.compile(r"([a-z][a-z0-9_]*): (.+)", re.DOTALL)

Features = dict[str, FloatArray]
Checkpoint = Callable[[], None]


@dataclass(frozen=True)
class Limits:
    """How much one request may ask for."""

    image: dicom.Limits = field(default_factory=dicom.Limits)
    max_phrases: int = 8
    max_phrase_chars: int = 512
    phrase_cache: int = 1024


@dataclass(frozen=True)
class AnalysisRequest:
    """What is asked of one radiograph.

    Attributes:
        data: the file's bytes.
        media_type: one of `MEDIA_TYPES`; `UNKNOWN` is found out from the bytes.
        tasks: what to answer; empty is everything that the version offers.
        phrases: what to look for.
        method: which grounding, or None for the version's first.
    """

    data: bytes
    media_type: str = UNKNOWN
    tasks: tuple[Task, ...] = ()
    phrases: tuple[str, ...] = ()
    method: str | None = None


@dataclass(frozen=True)
class _Plan:
    """A checked request: which heads run, in order, and the phrases they read."""

    heads: dict[str, HeadSpec]
    tasks: tuple[Task, ...]
    phrases: tuple[str, ...]


class Stopwatch:
    """Milliseconds by stage, stages of one name added up."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self.ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is done within it."""
        start = time.perf_counter()
        yield
        self.ms[name] = self.ms.get(name, 0.0) + (time.perf_counter() - start) * 1e3

    def total(self) -> dict[str, float]:
        """The stages, and `total`: all the time since the beginning."""
        return {**self.ms, "total": (time.perf_counter() - self._start) * 1e3}


class Analysis:
    """Answers requests with one loaded version. Safe to call from several threads.

    Args:
        identity: the version, as the answers name it.
        manifest: what the version is.
        folder: where its tokenizer and statistics lie.
        backend: what runs its graphs.
        limits: how much one request may ask for.
    """

    def __init__(
        self,
        identity: ModelIdentity,
        manifest: ModelManifest,
        folder: Path,
        backend: Backend,
        limits: Limits,
    ) -> None:
        """Read what the version needs beside its graphs.

        Raises:
            InvalidVersion: the tokenizer or the statistics cannot be read.
        """
        self.identity = identity
        self.manifest = manifest
        self._backend = backend
        self._limits = limits
        self._domain = _Domain.load(folder, manifest.out_of_domain)
        self._phrases: PhraseEncoder | None = None
        if manifest.text is not None:
            kept = limits.phrase_cache
            self._phrases = PhraseEncoder(backend, manifest.text, folder, kept)

    def run(
        self, request: AnalysisRequest, checkpoint: Checkpoint = lambda: None
    ) -> AnalysisResult:
        """Answer one request.

        Args:
            request: what is asked.
            checkpoint: called between the stages; raises when nobody waits any more.

        Raises:
            InputError: the bytes or the phrases are at fault.
            TaskNotOffered: the version has no head for a task or method.
            InvalidVersion: the version gave something that is no answer.
        """
        watch = Stopwatch()
        plan = self._plan(request)
        with watch.stage("read"):
            radiograph = read(request.data, request.media_type, self._limits.image)
        checkpoint()
        with watch.stage("preprocess"):
            tensor, geometry = preprocess(radiograph, self.manifest.preprocess)
        checkpoint()
        with watch.stage("trunk"):
            features = self._backend.trunk(tensor[None])
        checkpoint()
        answers = self._answers(plan, features, radiograph, geometry, watch)
        domain = self._domain.score(features) if self._domain else None
        return AnalysisResult(
            model=self.identity,
            preprocess=self.manifest.preprocess,
            radiograph=radiograph,
            warnings=_notices(radiograph, domain),
            out_of_domain=domain,
            timings_ms=watch.total(),
            **answers,
        )

    def _plan(self, request: AnalysisRequest) -> _Plan:
        """Refuse what cannot be answered before any work is done on the image."""
        tasks = request.tasks or self._offered(with_phrases=bool(request.phrases))
        chosen = {
            name: head for task in tasks for name, head in self._heads(task, request.method).items()
        }
        phrases: tuple[str, ...] = ()
        if Task.GROUND in tasks:
            phrases = self._checked(request.phrases)
        elif request.phrases:
            raise UnusablePhrase("a phrase was given, but the task `ground` was not asked for")
        return _Plan(chosen, tasks, phrases)

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

    def _answers(
        self,
        plan: _Plan,
        features: Features,
        radiograph: Radiograph,
        geometry: Geometry,
        watch: Stopwatch,
    ) -> dict[str, Any]:
        """The fields of AnalysisResult that the plan asks for."""
        if plan.phrases and self._phrases is not None:
            with watch.stage("text"):
                features = {**features, "phrase_features": self._phrases.features(plan.phrases)}
        answers: dict[Task, list[Any]] = {task: [] for task in plan.tasks}
        for name, head in plan.heads.items():
            with watch.stage("heads"):
                raw = self._backend.head(name, {item: features[item] for item in head.inputs})
            with watch.stage("results"):
                answers[head.kind] += _results(head, raw, plan.phrases, radiograph, geometry)
        return {_FIELDS[task]: tuple(items) for task, items in answers.items()}


_FIELDS = {
    Task.CLASSIFY: "findings",
    Task.SEGMENT: "masks",
    Task.DETECT: "detections",
    Task.GROUND: "groundings",
}


def _results(
    head: HeadSpec,
    raw: Features,
    phrases: tuple[str, ...],
    radiograph: Radiograph,
    geometry: Geometry,
) -> tuple[Finding | Mask | Detection | Grounding, ...]:
    """A head's raw outputs, batch axis first -> results in source pixels."""
    outputs = {name: value[0] for name, value in raw.items()}
    match head.kind:
        case Task.CLASSIFY:
            return heads.classify(head, outputs)
        case Task.SEGMENT:
            return heads.segment(head, outputs, geometry, radiograph.spacing_mm)
        case Task.DETECT:
            return heads.detect(head, outputs, geometry)
        case Task.GROUND:
            return heads.ground(head, outputs, phrases, geometry)


@dataclass(frozen=True)
class _Domain:
    """Distribution of the trunk's global features over the training images."""

    mean: NDArray[np.float64]
    precision: NDArray[np.float64]
    threshold: float

    @classmethod
    def load(cls, folder: Path, spec: OutOfDomainSpec | None) -> "_Domain | None":
        if spec is None:
            return None
        arrays = read_arrays(folder / spec.file)
        try:
            mean = arrays["mean"].astype(np.float64)
            precision = arrays["precision"].astype(np.float64)
        except (KeyError, ValueError) as error:
            raise InvalidVersion(f"{spec.file}: no `mean` or `precision`") from error
        if mean.ndim != 1 or precision.shape != (mean.size, mean.size):
            raise InvalidVersion(f"{spec.file}: `precision` does not fit `mean`")
        return cls(mean, precision, spec.threshold)

    def score(self, features: Mapping[str, FloatArray]) -> DomainScore:
        difference = features["global_features"][0].astype(np.float64) - self.mean
        squared = float(difference @ self.precision @ difference) / self.mean.size
        if not np.isfinite(squared):
            raise InvalidVersion("the global features are not finite")
        return DomainScore(float(np.sqrt(max(squared, 0.0))), self.threshold)


def read(data: bytes, media_type: str, limits: dicom.Limits) -> Radiograph:
    """Bytes of a known or unknown media type -> Radiograph.

    Raises:
        InputError: the bytes are no radiograph, or not of the type that was said.
    """
    if not data:
        raise MalformedInput("the body is empty")
    actual = _media_type(data) if media_type == UNKNOWN else media_type
    if actual == DICOM:
        return dicom.read(data, limits)
    if actual not in _SIGNATURES:
        raise UnsupportedEncoding(f"a file is one of {', '.join(MEDIA_TYPES)}")
    if not data.startswith(_SIGNATURES[actual]):
        raise MalformedInput(f"the bytes are not {actual}")
    return raster.read(data, limits)


def _media_type(data: bytes) -> str:
    """What the bytes are, from how they begin; `UNKNOWN` when they are none of ours."""
    for media_type, signature in _SIGNATURES.items():
        if data.startswith(signature):
            return media_type
    return DICOM if dicom.sniff(data) else UNKNOWN


def _notices(radiograph: Radiograph, domain: DomainScore | None) -> tuple[Notice, ...]:
    notices = [_notice(text) for text in radiograph.warnings]
    if domain is not None and domain.outside:
        message = (
            f"The image is unlike the chest radiographs that the model was trained on (score "
            f"{domain.score:.2f}, threshold {domain.threshold:.2f}); do not rely on the answer."
        )
        notices.append(Notice("out_of_domain", message))
    return tuple(notices)


def _notice(text: str) -> Notice:
    """A reader's warning, `code: message` or a message alone."""
    coded = _CODED_WARNING.fullmatch(text)
    return Notice(coded[1], coded[2]) if coded else Notice("image", text)
