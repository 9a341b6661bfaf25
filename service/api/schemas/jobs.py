"""Job schemas: the shapes of what is asked and answered about many radiographs at once."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from radiograph.manifest import Task
from service.api.schemas.inference import AnalyzeAnswer, AnalyzeQuery, ModelRef
from service.jobs.job import Item, ItemState, Job, JobState

Time = Annotated[datetime, Field(description="UTC.")]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class JobQuery(AnalyzeQuery):
    """What is asked of every radiograph of a job."""

    overlay: bool = Field(False, description="Keep a PNG overlay of each radiograph as well.")


class ItemsQuery(_Shape):
    """Which items of a job are shown."""

    after: int = Field(0, ge=0, le=2**31 - 1, description="Number of the last item seen.")
    limit: int = Field(1000, ge=1, le=10_000)
    state: ItemState | None = None


class JobListQuery(_Shape):
    """How many jobs are listed."""

    limit: int = Field(100, ge=1, le=1000)


class ItemProblem(_Shape):
    """Why one radiograph has no answer: RFC 9457, its `status` that of a single request."""

    type: str
    title: str
    status: int
    detail: str


class ItemCounts(_Shape):
    """Radiographs by state."""

    total: int
    queued: int
    running: int
    succeeded: int
    failed: int


class JobStatus(_Shape):
    """A job and how far it is."""

    id: str = Field(description="Unguessable: whoever knows it may read and remove the job.")
    state: JobState
    model: ModelRef = Field(description="Fixed when the job was accepted.")
    tasks: list[Task] = Field(description="Empty: every one that the version offers.")
    overlay: bool
    items: ItemCounts
    skipped: dict[str, int] = Field(
        description="Files that were left out: `folder`, `macos`, `dicomdir`, `no_image`.",
        examples=[{"folder": 2, "dicomdir": 1}],
    )
    created: Time
    started: Time | None
    finished: Time | None
    expires: Time | None = Field(description="When the job and its answers are removed.")
    eta_s: float | None = Field(description="Seconds left, at the pace so far.")


class JobList(_Shape):
    """Jobs, the newest first."""

    jobs: list[JobStatus]


class ItemStatus(_Shape):
    """One radiograph of a job."""

    number: int = Field(description="From 1, in the order of what was sent.")
    position: int = Field(description="Among all files that were sent, those skipped included.")
    label: str | None = Field(description="Its file name, where that cannot be a patient's.")
    state: ItemState
    attempts: int
    started: Time | None
    finished: Time | None
    sha256: str | None = Field(description="Of the file's bytes, once they were read.")
    overlay: bool = Field(description="Whether a PNG overlay is kept.")
    problem: ItemProblem | None


class ItemList(_Shape):
    """Radiographs of a job, in order."""

    items: list[ItemStatus]


class ItemAnswer(ItemStatus):
    """One radiograph with its answer."""

    result: AnalyzeAnswer | None


class JobResults(_Shape):
    """A job with the answers there are."""

    job: JobStatus
    items: list[ItemAnswer]


def status(job: Job) -> JobStatus:
    """A job as it is shown."""
    question, counts = job.question, job.counts
    return JobStatus(
        id=job.id,
        state=job.state,
        model=ModelRef(name=question.model, version=question.version, digest=question.digest),
        tasks=list(question.tasks),
        overlay=question.overlay,
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
    """A radiograph of a job as it is shown."""
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
        problem=None if item.problem is None else ItemProblem.model_validate(item.problem),
    )


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
