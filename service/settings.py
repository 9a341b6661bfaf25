"""Settings: what an operator may choose, read once from `G2D_*` environment variables.

    G2D_PORT=9000 G2D_PROVIDER=cuda g2d serve

The names are those of the fields in upper case. An unknown `G2D_` variable is logged, so that
a misspelt one is not ignored in silence.
"""

import logging
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from service.errors import InvalidSettings

logger = logging.getLogger("g2d.settings")

PREFIX = "G2D_"
MIB = 1024 * 1024

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,512}")

Provider = Literal["cpu", "cuda", "tensorrt"]


class Settings(BaseModel):
    """Everything an operator may choose. Frozen: built once, by `create_app`'s caller."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models_dir: Path = Path("models")
    """The model repository, `<name>/<version>/`."""
    default_model: str = "g2d-cxr"
    """Answers when a request names no model; the service is ready once it is loaded."""
    default_alias: str = "stable"
    """Answers when a request names no version."""
    aliases: tuple[str, ...] = ("stable", "canary")
    """The versions that these point to are loaded, of every model."""
    watch_interval_s: float = Field(default=2.0, ge=0, le=86400)
    """Pause between two looks for new versions and moved aliases; 0 looks at start only."""
    keep_retired: int = Field(default=1, ge=0, le=16)
    """Versions that each alias pointed to before and that stay loaded, for a roll-back."""
    canary_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the requests that name no version and are answered by the alias `canary`."""
    canary_shares: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    """The same for single models: `g2d-cxr=0.1,other=0`."""
    shadow_alias: str | None = None
    """A copy of each request also runs on this alias, after its answer and where there is room."""
    admin_token: SecretStr | None = None
    """Who sends it may move aliases (Authorization: Bearer); without it nobody may."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    provider: Provider = "cpu"
    """What computes. Asked for and not there is an error at start."""
    device_id: int = Field(default=0, ge=0)
    """Which GPU."""
    tensorrt_cache_dir: Path | None = None
    """Where TensorRT keeps the engines it builds, for a faster next start."""
    backend: Literal["ort", "triton"] = "ort"
    """What runs the graphs: ONNX Runtime in this process, or a Triton elsewhere."""
    triton_protocol: Literal["grpc", "http"] = "grpc"
    """How Triton is spoken to."""
    triton_url: str = Field(default="127.0.0.1:8001", pattern=r"^[^\s/]+:[0-9]{1,5}(/[^\s]*)?$")
    """Where Triton listens, HOST:PORT; 8001 is its port for gRPC, 8000 that for HTTP."""
    triton_timeout_s: float = Field(default=10.0, gt=0)
    """Seconds in which Triton must answer one call."""
    triton_load_timeout_s: float = Field(default=300.0, gt=0)
    """Seconds in which Triton must have loaded one graph."""
    triton_wait_s: float = Field(default=30.0, ge=0)
    """Seconds that loading waits for a Triton, or a version in it, that is not there yet."""
    triton_tls: bool = False
    """Encrypt, and check Triton's certificate."""
    triton_ca_file: Path | None = None
    """Who signed it, PEM; without it, the certificates of the system."""
    triton_certificate_file: Path | None = None
    """This service's own certificate, PEM, where Triton wants one."""
    triton_key_file: Path | None = None
    """The key to it."""
    triton_shared_memory: bool = False
    """Hand arrays over in shared memory; Triton must be on this host and see its /dev/shm."""
    triton_view: Path | None = None
    """Triton's model repository, when this service is to render it as versions come and go."""
    triton_unload: bool = True
    """Unload from Triton what is closed here; off where other services use the same Triton."""
    threads: int = Field(default_factory=lambda: available_cpus(), ge=1, le=256)
    """Threads within one graph. Default: the CPUs that this process may use."""
    workers: int = Field(default=2, ge=1, le=64)
    """Batches that are computed at one time."""
    max_batch: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = "auto"
    """Radiographs in one batch. `auto` measures when a version is loaded: never more than helps."""
    waiting: int = Field(default=64, ge=0, le=1024)
    """Requests that may be inside beyond `workers`; more get 503 at once."""
    max_wait_s: float = Field(default=10.0, gt=0)
    """A request that would wait longer for those before it gets 503 at once."""
    decode_workers: int = Field(default_factory=lambda: decoder_processes(), ge=0, le=64)
    """Processes that read files. 0 reads in this process, where no file can be given up; so it is
    wherever the system is not Linux."""
    decode_timeout_s: float = Field(default=20.0, gt=0)
    """Seconds in which a file must have been read."""
    decode_memory_bytes: int = Field(default=2048 * MIB, ge=64 * MIB)
    """What reading one file may allocate."""
    stop_grace_s: int = Field(default=30, ge=0)
    """Seconds that running and waiting requests have to end, once the service is told to stop."""
    max_body_bytes: int = Field(default=64 * MIB, ge=1024)
    """Largest request body. A 43 x 43 cm image of 0.1 mm pixels has 37 MB."""
    max_buffered_bytes: int = Field(default=512 * MIB, ge=1024)
    """Bodies of all requests in memory at one time; never less than one largest body."""
    max_pixels: int = Field(default=64_000_000, ge=1024)
    """Largest rows x columns of one image."""
    max_phrases: int = Field(default=8, ge=1, le=64)
    """Phrases in one request."""
    max_phrase_chars: int = Field(default=512, ge=1, le=4096)
    """Characters in one phrase."""
    phrase_cache: int = Field(default=1024, ge=0)
    """Phrases whose features are kept, for each version."""
    body_timeout_s: float = Field(default=30.0, gt=0)
    """Seconds in which a body must have arrived."""
    request_timeout_s: float = Field(default=30.0, gt=0)
    """Seconds until a request is given up, unless it asks for another deadline."""
    max_request_timeout_s: float = Field(default=300.0, gt=0)
    """The longest deadline a request may ask for."""
    overlay_side_px: int = Field(default=2048, ge=64)
    """Longest side of a PNG overlay; larger images are reduced to it."""
    metrics: bool = True
    """Answer `GET /metrics`; switched off, nothing is counted and it is 404."""
    jobs_dir: Path | None = Field(default_factory=lambda: state_dir() / "jobs")
    """Where the files of jobs wait, and their database unless `jobs_url` names another. Empty:
    no jobs. Several processes with one database share this folder too."""
    jobs_url: SecretStr | None = None
    """Database of the jobs, `postgresql+psycopg://...`; SQLite in `jobs_dir` unless named."""
    jobs_list: bool = False
    """Whether GET /v1/jobs lists every job to everybody who can reach the service."""
    jobs_in_flight: int = Field(default=1, ge=1, le=256)
    """Radiographs of jobs that this process works on at one time."""
    jobs_attempts: int = Field(default=6, ge=1, le=100)
    """How often a radiograph is tried when the service, not the radiograph, is at fault."""
    jobs_lease_s: float = Field(default=30.0, ge=0.3)
    """Seconds after which what a lost process worked on is taken up by another."""
    jobs_keep_s: float = Field(default=7 * 86_400.0, gt=0)
    """Seconds that a finished job and its answers are kept."""
    jobs_max_bytes: int = Field(default=2048 * MIB, ge=1024)
    """Largest body of a job."""
    jobs_max_inflated_bytes: int = Field(default=16384 * MIB, ge=1024)
    """What the files of one job may take when they are unpacked, all together."""
    jobs_max_items: int = Field(default=10_000, ge=1, le=1_000_000)
    """Files in one job, those that are skipped included."""
    jobs_body_timeout_s: float = Field(default=1800.0, gt=0)
    """Seconds in which the body of a job must have arrived; each piece in `body_timeout_s`."""
    jobs_uploads: int = Field(default=4, ge=1, le=256)
    """Bodies of jobs that may arrive at one time."""
    jobs_min_free_bytes: int = Field(default=256 * MIB, ge=0)
    """Room on the disk of `jobs_dir` that no job may take."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Probes and scrapes are logged at `debug`, requests at `info`."""

    @field_validator("aliases", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator("canary_shares", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = (item.partition("=") for item in value.replace(",", " ").split())
        return {name: share for name, _, share in pairs}

    @field_validator("shadow_alias", mode="before")
    @classmethod
    def _none_when_empty(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("admin_token")
    @classmethod
    def _hard_to_guess(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if not _TOKEN.fullmatch(value.get_secret_value()):
            raise ValueError("a token has 16 to 512 letters, digits and any of - . _ ~ + / =")
        return value

    @property
    def served_aliases(self) -> tuple[str, ...]:
        """Every alias whose version is to be loaded."""
        shadow = () if self.shadow_alias is None else (self.shadow_alias,)
        return tuple(dict.fromkeys((*self.aliases, *shadow)))

    @field_validator("jobs_dir", "jobs_url", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings from environment variables.

        Raises:
            InvalidSettings: a value that is not usable.
        """
        environ = os.environ if environ is None else environ
        given = {
            name.removeprefix(PREFIX).lower(): value
            for name, value in environ.items()
            if name.startswith(PREFIX)
        }
        # docker compose and Kubernetes have variables of this prefix for themselves.
        if unknown := sorted(set(given) - set(cls.model_fields)):
            logger.warning("not settings, ignored: %s", unknown)
        return cls.of({name: given[name] for name in given.keys() - set(unknown)})

    @classmethod
    def of(cls, given: Mapping[str, object]) -> "Settings":
        """Settings from values by field name.

        Raises:
            InvalidSettings: a value that is not usable.
        """
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise InvalidSettings(_explain(error)) from error

    def changed(self, **given: object) -> "Settings":
        """A copy with other values, those that are None left as they are.

        Raises:
            InvalidSettings: a value that is not usable.
        """
        changes = {name: value for name, value in given.items() if value is not None}
        return self.of({**self.model_dump(), **changes})


def _explain(error: ValidationError) -> str:
    reasons = (f"{PREFIX}{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors())
    return "; ".join(reasons)


def state_dir() -> Path:
    """Where programs of this user keep what must outlive them (XDG Base Directory)."""
    given = os.environ.get("XDG_STATE_HOME", "")
    return (Path(given) if given else Path.home() / ".local" / "state") / "g2d"


def decoder_processes() -> int:
    """One decoder for each CPU; none where the system has no memfd and pidfd to run them by."""
    able = hasattr(os, "memfd_create") and hasattr(os, "pidfd_open")
    return available_cpus() if able else 0


def available_cpus() -> int:
    """CPUs that this process may use: its affinity, capped by the container's quota."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(affinity or 1, _cgroup_cpus()))


def _cgroup_cpus(path: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """The CPU quota of control group v2 (`cpu.max`: quota and period), rounded up."""
    try:
        quota, period = path.read_text().split()
    except (OSError, ValueError):
        return 1024
    return 1024 if quota == "max" else math.ceil(int(quota) / int(period))
