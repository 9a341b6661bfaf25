"""Settings of background jobs."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr, field_validator

from service.host import state_dir
from service.settings.group import MIB, Group


class JobSettings(Group):
    """Background jobs."""

    PREFIX: ClassVar[str] = "jobs_"

    dir: Path | None = Field(default_factory=lambda: state_dir() / "jobs")
    """Folder of the files of jobs, and of their database unless `jobs_url` is set. Processes with
    one database must share this folder. If empty, there are no jobs."""
    url: SecretStr | None = None
    """URL of the job database, `postgresql+psycopg://...`; by default, SQLite in `jobs_dir`."""
    list: bool = False
    """Let anonymous clients list the jobs of all anonymous clients with `GET /v1/jobs`. A client
    with a credential always lists its own jobs, and no others."""
    in_flight: int = Field(default=1, ge=1, le=256)
    """Radiographs of jobs that this process works on at the same time."""
    attempts: int = Field(default=6, ge=1, le=100)
    """Most attempts at one radiograph while the service, not the radiograph, is at fault."""
    lease_s: float = Field(default=30.0, ge=0.3)
    """Seconds after which another process takes over the work of one that was lost."""
    keep_s: float = Field(default=7 * 86_400.0, gt=0)
    """Seconds that a finished job and its answers are kept."""
    max_bytes: int = Field(default=2048 * MIB, ge=1024)
    """Largest body of a job."""
    max_inflated_bytes: int = Field(default=16384 * MIB, ge=1024)
    """Largest size of all files of one job together, once they are unpacked."""
    max_items: int = Field(default=10_000, ge=1, le=1_000_000)
    """Most files in one job, including those that are skipped."""
    body_timeout_s: float = Field(default=1800.0, gt=0)
    """Seconds within which the body of a job must arrive; each piece within `body_timeout_s`."""
    bytes_per_s: int = Field(default=32 * 1024, ge=1)
    """Least rate at which the body of a job must arrive, over any `body_timeout_s`; a slower client
    gets 408, and its place is free for others."""
    uploads: int = Field(default=4, ge=1, le=256)
    """Job uploads that may be in progress at the same time."""
    min_free_bytes: int = Field(default=256 * MIB, ge=0)
    """Free space on the disk of `jobs_dir` that no upload may use; without it, bodies alone could
    fill the disk, and no job could finish."""

    numeric_labels: bool = False
    """Keep file names of digits or with long numbers as labels. They are often the number of a
    patient or study, or a UID, and are therefore dropped by default."""

    @field_validator("dir", "url", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value
