"""Values of the jobs, all frozen: they travel between uploads, store, worker and interface."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from radiograph.manifest import Task
from radiograph.strict_model import StrictModel
from service.dataplane.query import PredictionQuery
from service.dicom_results.kinds import EncodedObject
from service.encoders.json_encoder import HeatmapEncoding, RleEncoding
from service.inference.results import ModelIdentity


class JobState(StrEnum):
    """Progress of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"


class ItemState(StrEnum):
    """Progress of one radiograph of a job; `succeeded` and `failed` are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class Piece:
    """The place of one radiograph in a spool file.

    Attributes:
        position: position among all files that were sent, counted from 1; skipped files count.
        start: offset of the first byte.
        stored: number of stored bytes.
        size: number of bytes after inflating.
        deflated: the bytes are deflated (RFC 1951).
        crc: CRC-32 of the inflated bytes, or None if the body had none.
        media_type: one of `radiograph.readers.read.MEDIA_TYPES`, or `UNKNOWN`; or that of a
            reference (`service.dicomweb.references`), whose radiograph is still to be fetched.
        label: file name, or None if it could name a patient or a study.
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
    """Contents of the body of a job.

    Attributes:
        pieces: radiographs, in the order in which they were sent.
        phrases: phrases of a form.
        skipped: number of skipped files by reason.
        store: results are to be sent to the server that the radiographs come from.
    """

    pieces: tuple[Piece, ...]
    phrases: tuple[str, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    store: bool = False


class JobQuery(StrictModel):
    """Question about every radiograph of a job, as the database keeps it.

    Attributes:
        tasks: tasks to answer; empty means every task that the version offers.
        phrases: phrases to look for.
        method: grounding method, or None for the first one of the version.
        heatmap: encoding of heat maps in JSON.
        rle: form of the run lengths of masks in JSON.
        overlay: keep a PNG overlay beside the JSON.
        overlay_side_px: longest side of the overlay, or None for that of the settings.
        model: name of the model.
        version: number of the version that answers, fixed when the job was accepted.
        digest: SHA-256 of the manifest of that version.
        objects: names of the DICOM objects to make and to keep; none makes every kind for `store`.
        segmentation: type of DICOM segmentations, or None for that of the settings.
        uncertainty: `tta` to say how far results hold under harmless changes, or None.
        store: send them to the DICOMweb server that the radiograph comes from.
    """

    tasks: tuple[Task, ...]
    phrases: tuple[str, ...]
    method: str | None
    heatmap: HeatmapEncoding
    overlay: bool
    model: str
    version: int
    digest: str
    rle: RleEncoding = "uncompressed"
    overlay_side_px: int | None = None
    objects: tuple[str, ...] = ()
    segmentation: Literal["binary", "labelmap"] | None = None
    uncertainty: Literal["tta"] | None = None
    store: bool = False

    @property
    def identity(self) -> ModelIdentity:
        """The version that answers."""
        return ModelIdentity(self.model, self.version, self.digest)

    def prediction_query(self) -> PredictionQuery:
        """Return the query that is put to the predictor for each radiograph."""
        return PredictionQuery(
            tasks=self.tasks,
            phrases=self.phrases,
            method=self.method,
            heatmap=self.heatmap,
            rle=self.rle,
            overlay_side_px=self.overlay_side_px,
            objects=self.objects,
            segmentation=self.segmentation,
            uncertainty=self.uncertainty,
            model=self.model,
            version=str(self.version),
        )


@dataclass(frozen=True)
class NewJob:
    """A job that is about to be accepted.

    Attributes:
        id: random identifier; whoever knows it may read the job of an anonymous client.
        query: question about every radiograph.
        contents: radiographs of the job.
        key: digest of the client's Idempotency-Key, or None.
        fingerprint: digest of everything that the client sent and asked for.
        owner: digest of the owner of the client, or None for an anonymous client.
    """

    id: str
    query: JobQuery
    contents: Contents
    key: str | None
    fingerprint: str
    owner: str | None = None


@dataclass(frozen=True)
class Counts:
    """Number of items of a job by state."""

    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        """Number of all items."""
        return self.queued + self.running + self.answered

    @property
    def answered(self) -> int:
        """Number of items in a final state."""
        return self.succeeded + self.failed


@dataclass(frozen=True)
class Job:
    """A job as it is stored. Times are seconds since 1970, UTC.

    Attributes:
        labelled: each item has a label that no other item of the job has.
        eta_s: estimated seconds until the last item is answered, at the rate so far.
        owner: digest of the owner of the client, or None for an anonymous client.
    """

    id: str
    query: JobQuery
    fingerprint: str
    skipped: Mapping[str, int]
    counts: Counts
    created: float
    started: float | None
    finished: float | None
    expires: float | None
    labelled: bool
    eta_s: float | None
    owner: str | None = None

    @property
    def state(self) -> JobState:
        """Progress of the job."""
        if self.finished is not None:
            return JobState.FINISHED
        return JobState.QUEUED if self.started is None else JobState.RUNNING


@dataclass(frozen=True)
class Item:
    """One radiograph of a job as it is shown. Times are seconds since 1970, UTC.

    Attributes:
        number: number within the job, counted from 1.
        position: position among all files that were sent, counted from 1.
        label: file name, or None if it could name a patient or a study.
        attempts: number of attempts so far.
        sha256: digest of the file, once it was read.
        problem: reason why it failed, as RFC 9457 problem details.
        overlay: a PNG overlay is kept.
        objects: DICOM objects are kept.
        result: the answer as JSON, where it was asked for and is available.
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
    objects: bool = False
    result: bytes | None = None


@dataclass(frozen=True)
class Claim:
    """One item that this process alone works on until its lease ends.

    Attributes:
        job: identifier of the job.
        number: number of the item within the job.
        token: token of the lease; answers with any other token are dropped.
        attempt: number of this attempt, counted from 1.
        piece: place of the radiograph in the spool file.
        query: question about it.
        owner: digest of the owner of the client, or None for an anonymous client.
    """

    job: str
    number: int
    token: str
    attempt: int
    piece: Piece
    query: JobQuery
    owner: str | None


@dataclass(frozen=True)
class Completion:
    """Effect of an answer on the store.

    Attributes:
        item: the answer was stored; False if the lease was lost or the job deleted.
        job: it was the last answer of its job.
    """

    item: bool
    job: bool = False


@dataclass(frozen=True)
class ItemAnswer:
    """The answer to one item, as it is stored.

    Attributes:
        sha256: digest of the file.
        json: encoded result.
        overlay: PNG overlay, or None.
        objects: DICOM objects, or none.
    """

    sha256: str
    json: bytes
    overlay: bytes | None
    objects: tuple[EncodedObject, ...] = ()
