"""What a job is, in frozen values that travel between intake, store, runner and interface."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from radiograph.manifest import Task
from service.encoders.json_encoder import HeatmapEncoding
from service.inference.results import ModelIdentity


class JobState(StrEnum):
    """Where a job is on its way."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"


class ItemState(StrEnum):
    """Where one radiograph of a job is on its way; the last two are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class Piece:
    """Where one radiograph lies in a spool file.

    Attributes:
        position: its place in what was sent, counted from 1, skipped files included.
        start: offset of its bytes.
        stored: how many there are.
        size: how many they are once inflated.
        deflated: whether they are deflated (RFC 1951), or as they were.
        crc: CRC-32 of the inflated bytes, or None where none came along.
        media_type: one of `analysis.MEDIA_TYPES`.
        label: its file name where that cannot be a patient's, else None.
    """

    position: int
    start: int
    stored: int
    size: int
    deflated: bool
    crc: int | None
    media_type: str
    label: str | None = None


@dataclass(frozen=True)
class Contents:
    """What a body holds: radiographs, the phrases of a form, and how many files were skipped."""

    pieces: tuple[Piece, ...]
    phrases: tuple[str, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)


class JobQuestion(BaseModel):
    """What is asked of every radiograph of a job, as it is kept in the database.

    Attributes:
        tasks, phrases, method: as in `AnalysisRequest`.
        heatmap: how heat maps are written in JSON.
        overlay: whether a picture is kept beside the JSON.
        model, version, digest: the version that answers, fixed when the job was accepted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: tuple[Task, ...]
    phrases: tuple[str, ...]
    method: str | None
    heatmap: HeatmapEncoding
    overlay: bool
    model: str
    version: int
    digest: str

    @property
    def identity(self) -> ModelIdentity:
        """The version that answers."""
        return ModelIdentity(self.model, self.version, self.digest)


@dataclass(frozen=True)
class NewJob:
    """A job to be accepted.

    Attributes:
        id: unguessable; knowing it is what lets a client read the job.
        question, contents: what is asked of what.
        key: digest of the client's Idempotency-Key, or None.
        fingerprint: digest of everything that was asked and sent.
    """

    id: str
    question: JobQuestion
    contents: Contents
    key: str | None
    fingerprint: str


@dataclass(frozen=True)
class Counts:
    """Items of a job by state."""

    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.queued + self.running + self.answered

    @property
    def answered(self) -> int:
        """Those that are final."""
        return self.succeeded + self.failed


@dataclass(frozen=True)
class Job:
    """A job as the store knows it. Times are seconds since 1970, UTC.

    Attributes:
        eta_s: seconds until the last item is answered, at the pace so far.
    """

    id: str
    question: JobQuestion
    fingerprint: str
    skipped: Mapping[str, int]
    counts: Counts
    created: float
    started: float | None
    finished: float | None
    expires: float | None
    eta_s: float | None

    @property
    def state(self) -> JobState:
        """Where it is on its way."""
        if self.finished is not None:
            return JobState.FINISHED
        return JobState.QUEUED if self.started is None else JobState.RUNNING


@dataclass(frozen=True)
class Item:
    """One radiograph of a job, as it is shown.

    Attributes:
        number: counted from 1 within the job.
        attempts: how often it was tried.
        sha256: of its bytes, once they were read.
        problem: why it failed, RFC 9457.
        result: the answer in JSON, where it was asked for and is there.
    """

    number: int
    position: int
    label: str | None
    state: ItemState
    attempts: int
    started: float | None
    finished: float | None
    sha256: str | None
    problem: Mapping[str, Any] | None
    overlay: bool
    result: bytes | None = None


@dataclass(frozen=True)
class Claim:
    """One item that this process, and no other, works on until its lease ends.

    Attributes:
        token: the lease; an answer without the valid one is not taken.
        attempt: which try this is, counted from 1.
    """

    job: str
    number: int
    token: str
    attempt: int
    piece: Piece
    question: JobQuestion


@dataclass(frozen=True)
class Taken:
    """Whether an answer was taken, and whether it was the last that its job waited for."""

    item: bool
    job: bool = False


@dataclass(frozen=True)
class Answer:
    """What is kept of an item that succeeded."""

    sha256: str
    json: bytes
    overlay: bytes | None
