"""Schemas of jobs: query parameters and answers about many radiographs."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field

from radiograph.manifest import Task
from radiograph.strict_model import StrictModel
from service.api.schemas.inference import AnalyzeAnswer, ModelRef
from service.api.schemas.parameters import AnalyzeParameters
from service.jobs.job import Item, ItemState, Job, JobState

Time = Annotated[datetime, Field(description="UTC.")]


class JobParameters(AnalyzeParameters):
    """Query parameters that apply to every radiograph of a job."""

    overlay: bool = Field(False, description="Keep an overlay of each radiograph.")


class ItemListParameters(StrictModel):
    """Query parameters that choose a page of the items of a job."""

    after: int = Field(0, ge=0, le=2**31 - 1, description="Number of the last item that was seen.")
    limit: int = Field(1000, ge=1, le=10_000)
    state: ItemState | None = None


class JobListParameters(StrictModel):
    """Query parameters of the list of jobs."""

    limit: int = Field(100, ge=1, le=1000)


class ItemProblem(StrictModel):
    """Reason why one radiograph has no answer (RFC 9457); `status` is that of a single request."""

    type: str
    title: str
    status: int
    detail: str


class ItemCounts(StrictModel):
    """Number of radiographs by state."""

    total: int
    queued: int
    running: int
    succeeded: int
    failed: int


class JobStatus(StrictModel):
    """A job and its progress."""

    id: str = Field(description="Secret: whoever knows it may read and delete the job.")
    state: JobState
    model: ModelRef = Field(description="Version that answers, fixed when the job was accepted.")
    tasks: list[Task] = Field(description="Empty for every task that the version offers.")
    overlay: bool
    objects: list[str] = Field(description="DICOM objects that are kept of each radiograph.")
    identified_by: Literal["label", "position"] = Field(
        description="Member that tells the items apart: `label` if each has one of its own, "
        "otherwise `position`."
    )
    items: ItemCounts
    skipped: dict[str, int] = Field(
        description="Number of skipped files by reason: `folder`, `macos`, `dicomdir`, `no_image`, "
        "`other_modality`.",
        examples=[{"folder": 2, "dicomdir": 1}],
    )
    created: Time
    started: Time | None
    finished: Time | None
    expires: Time | None = Field(description="Time at which the job and its results are deleted.")
    eta_s: float | None = Field(description="Estimated seconds until the job is finished.")


class JobList(StrictModel):
    """Jobs, newest first."""

    jobs: list[JobStatus]


class ItemStatus(StrictModel):
    """One radiograph of a job."""

    number: int = Field(description="Number within the job, counted from 1 in upload order.")
    position: int = Field(description="Position among all uploaded files, skipped ones included.")
    label: str | None = Field(description="File name, unless it could name a patient or a study.")
    state: ItemState
    attempts: int
    started: Time | None
    finished: Time | None
    sha256: str | None = Field(description="Digest of the file, once it was read.")
    overlay: bool = Field(description="True if an overlay was kept.")
    objects: bool = Field(description="True if DICOM objects were kept.")
    problem: ItemProblem | None


class ItemList(StrictModel):
    """Radiographs of a job, in order."""

    items: list[ItemStatus]


class ItemAnswer(ItemStatus):
    """One radiograph with its answer."""

    result: AnalyzeAnswer | None


class JobResults(StrictModel):
    """A job with the results so far."""

    job: JobStatus
    items: list[ItemAnswer]


def job_status(job: Job) -> JobStatus:
    """Return a job as the interface shows it."""
    query, counts = job.query, job.counts
    return JobStatus(
        id=job.id,
        state=job.state,
        model=ModelRef(name=query.model, version=query.version, digest=query.digest),
        tasks=list(query.tasks),
        overlay=query.overlay,
        objects=list(query.objects),
        identified_by="label" if job.labelled else "position",
        items=ItemCounts(
            total=counts.total,
            queued=counts.queued,
            running=counts.running,
            succeeded=counts.succeeded,
            failed=counts.failed,
        ),
        skipped=dict(job.skipped),
        created=datetime.fromtimestamp(job.created, UTC),
        started=_time(job.started),
        finished=_time(job.finished),
        expires=_time(job.expires),
        eta_s=None if job.eta_s is None else round(job.eta_s, 1),
    )


def item_status(item: Item) -> ItemStatus:
    """Return an item of a job as the interface shows it."""
    return ItemStatus(
        number=item.number,
        position=item.position,
        label=item.label,
        state=item.state,
        attempts=item.attempts,
        started=_time(item.started),
        finished=_time(item.finished),
        sha256=item.sha256,
        overlay=item.overlay,
        objects=item.objects,
        problem=None if item.problem is None else ItemProblem.model_validate(item.problem),
    )


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
