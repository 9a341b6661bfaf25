"""Settings: what an operator may choose, read once from `G2D_*` environment variables.

    G2D_PORT=9000 G2D_PROVIDER=cuda g2d serve

A variable is named `G2D_`, the prefix of its group, and the field in upper case: `jobs.dir` is
`G2D_JOBS_DIR`. An unknown `G2D_` variable is logged, so that a misspelt one is not ignored.
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from radiograph.limits import Limits as ImageLimits
from service.errors import InvalidSettings
from service.host import available_cpus, decoder_processes, state_dir

logger = logging.getLogger("g2d.settings")

PREFIX = "G2D_"
MIB = 1024 * 1024

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,512}")

Provider = Literal["cpu", "cuda", "tensorrt"]


class _Group(BaseModel):
    """Settings that belong together.

    Attributes:
        PREFIX: precedes the names of the fields in environment variables.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    PREFIX: ClassVar[str] = ""


class ServerSettings(_Group):
    """Address, end and visibility of the server."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    stop_grace_s: int = Field(default=30, ge=0)
    """Seconds that running and waiting requests have to end, once the service is told to stop."""
    metrics: bool = True
    """Answer `GET /metrics`; switched off, nothing is counted and it is 404."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Probes and scrapes are logged at `debug`, requests at `info`."""


class LimitSettings(_Group):
    """Bounds of one request."""

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
    body_timeout_s: float = Field(default=30.0, gt=0)
    """Seconds in which a body must have arrived."""
    request_timeout_s: float = Field(default=30.0, gt=0)
    """Seconds until a request is given up, unless it asks for another deadline."""
    max_request_timeout_s: float = Field(default=300.0, gt=0)
    """The longest deadline a request may ask for."""
    overlay_side_px: int = Field(default=2048, ge=64)
    """Longest side of a PNG overlay; larger images are reduced to it."""
    phrase_cache: int = Field(default=1024, ge=0)
    """Phrases whose features are kept, for each version."""

    @property
    def image(self) -> ImageLimits:
        """Bounds of one file, as the readers take them."""
        return ImageLimits(max_bytes=self.max_body_bytes, max_pixels=self.max_pixels)


class SecuritySettings(_Group):
    """Access to the administration."""

    admin_token: SecretStr | None = None
    """Who sends it may move aliases (Authorization: Bearer); without it nobody may."""

    @field_validator("admin_token")
    @classmethod
    def _hard_to_guess(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if not _TOKEN.fullmatch(value.get_secret_value()):
            raise ValueError("a token has 16 to 512 letters, digits and any of - . _ ~ + / =")
        return value


class ModelSettings(_Group):
    """The model repository, and which of its versions answer."""

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

    @property
    def served_aliases(self) -> tuple[str, ...]:
        """Every alias whose version is to be loaded."""
        shadow = () if self.shadow_alias is None else (self.shadow_alias,)
        return tuple(dict.fromkeys((*self.aliases, *shadow)))


class RuntimeSettings(_Group):
    """The runtime that executes the graphs."""

    backend: Literal["ort", "triton"] = "ort"
    """What runs the graphs: ONNX Runtime in this process, or a Triton elsewhere."""
    provider: Provider = "cpu"
    """What computes. Asked for and not there is an error at start."""
    device_id: int = Field(default=0, ge=0)
    """Which GPU."""
    tensorrt_cache_dir: Path | None = None
    """Where TensorRT keeps the engines it builds, for a faster next start."""
    threads: int = Field(default_factory=lambda: available_cpus(), ge=1, le=256)
    """Threads within one graph. Default: the CPUs that this process may use."""


class BatchingSettings(_Group):
    """Batches, and how many requests may be inside."""

    workers: int = Field(default=2, ge=1, le=64)
    """Batches that are computed at one time."""
    max_batch: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = "auto"
    """Radiographs in one batch. `auto` measures when a version is loaded: never more than helps."""
    waiting: int = Field(default=64, ge=0, le=1024)
    """Requests that may be inside beyond `workers`; more get 503 at once."""
    max_wait_s: float = Field(default=10.0, gt=0)
    """A request that would wait longer for those before it gets 503 at once."""


class DecodingSettings(_Group):
    """The processes that read files."""

    PREFIX: ClassVar[str] = "decode_"

    workers: int = Field(default_factory=lambda: decoder_processes(), ge=0, le=64)
    """Processes that read files. 0 reads in this process, where no file can be given up; so it is
    wherever the system is not Linux."""
    timeout_s: float = Field(default=20.0, gt=0)
    """Seconds in which a file must have been read."""
    memory_bytes: int = Field(default=2048 * MIB, ge=64 * MIB)
    """What reading one file may allocate."""


class TritonSettings(_Group):
    """The Triton server, where `backend` is `triton`."""

    PREFIX: ClassVar[str] = "triton_"

    protocol: Literal["grpc", "http"] = "grpc"
    """How Triton is spoken to."""
    url: str = Field(default="127.0.0.1:8001", pattern=r"^[^\s/]+:[0-9]{1,5}(/[^\s]*)?$")
    """Where Triton listens, HOST:PORT; 8001 is its port for gRPC, 8000 that for HTTP."""
    timeout_s: float = Field(default=10.0, gt=0)
    """Seconds in which Triton must answer one call."""
    load_timeout_s: float = Field(default=300.0, gt=0)
    """Seconds in which Triton must have loaded one graph."""
    wait_s: float = Field(default=30.0, ge=0)
    """Seconds that loading waits for a Triton, or a version in it, that is not there yet."""
    tls: bool = False
    """Encrypt, and check Triton's certificate."""
    ca_file: Path | None = None
    """Who signed it, PEM; without it, the certificates of the system."""
    certificate_file: Path | None = None
    """This service's own certificate, PEM, where Triton wants one."""
    key_file: Path | None = None
    """The key to it."""
    shared_memory: bool = False
    """Hand arrays over in shared memory; Triton must be on this host and see its /dev/shm."""
    view: Path | None = None
    """Triton's model repository, when this service is to render it as versions come and go."""
    unload: bool = True
    """Unload from Triton what is closed here; off where other services use the same Triton."""


class JobSettings(_Group):
    """Jobs in the background."""

    PREFIX: ClassVar[str] = "jobs_"

    dir: Path | None = Field(default_factory=lambda: state_dir() / "jobs")
    """Where the files of jobs wait, and their database unless `jobs_url` names another. Empty:
    no jobs. Several processes with one database share this folder too."""
    url: SecretStr | None = None
    """Database of the jobs, `postgresql+psycopg://...`; SQLite in `jobs_dir` unless named."""
    list: bool = False
    """Whether GET /v1/jobs lists every job to everybody who can reach the service."""
    in_flight: int = Field(default=1, ge=1, le=256)
    """Radiographs of jobs that this process works on at one time."""
    attempts: int = Field(default=6, ge=1, le=100)
    """How often a radiograph is tried when the service, not the radiograph, is at fault."""
    lease_s: float = Field(default=30.0, ge=0.3)
    """Seconds after which what a lost process worked on is taken up by another."""
    keep_s: float = Field(default=7 * 86_400.0, gt=0)
    """Seconds that a finished job and its answers are kept."""
    max_bytes: int = Field(default=2048 * MIB, ge=1024)
    """Largest body of a job."""
    max_inflated_bytes: int = Field(default=16384 * MIB, ge=1024)
    """What the files of one job may take when they are unpacked, all together."""
    max_items: int = Field(default=10_000, ge=1, le=1_000_000)
    """Files in one job, those that are skipped included."""
    body_timeout_s: float = Field(default=1800.0, gt=0)
    """Seconds in which the body of a job must have arrived; each piece in `body_timeout_s`."""
    uploads: int = Field(default=4, ge=1, le=256)
    """Bodies of jobs that may arrive at one time."""
    min_free_bytes: int = Field(default=256 * MIB, ge=0)
    """Room on the disk of `jobs_dir` that no job may take."""

    @field_validator("dir", "url", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value


class Settings(BaseModel):
    """All options of the service, in groups. Frozen, and built once by the caller of `create_app`.

    Outside the groups an option has a flat name: prefix and field, such as `jobs_dir`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    server: ServerSettings = Field(default_factory=lambda: ServerSettings())
    limits: LimitSettings = Field(default_factory=lambda: LimitSettings())
    security: SecuritySettings = Field(default_factory=lambda: SecuritySettings())
    models: ModelSettings = Field(default_factory=lambda: ModelSettings())
    runtime: RuntimeSettings = Field(default_factory=lambda: RuntimeSettings())
    batching: BatchingSettings = Field(default_factory=lambda: BatchingSettings())
    decoding: DecodingSettings = Field(default_factory=lambda: DecodingSettings())
    triton: TritonSettings = Field(default_factory=lambda: TritonSettings())
    jobs: JobSettings = Field(default_factory=lambda: JobSettings())

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
        if unknown := sorted(set(given) - set(OPTIONS)):
            logger.warning("not settings, ignored: %s", unknown)
        return cls.of(**{name: given[name] for name in given.keys() - set(unknown)})

    @classmethod
    def of(cls, **options: object) -> "Settings":
        """Settings from options by flat name; the others have their defaults.

        Raises:
            InvalidSettings: an unknown option, or a value that is not usable.
        """
        return cls._build({}, options)

    def changed(self, **options: object) -> "Settings":
        """A copy with other values by flat name; those that are None are left as they are.

        Raises:
            InvalidSettings: an unknown option, or a value that is not usable.
        """
        changes = {name: value for name, value in options.items() if value is not None}
        return self._build(self.model_dump(), changes)

    @classmethod
    def _build(cls, base: dict[str, dict[str, Any]], options: Mapping[str, object]) -> "Settings":
        if unknown := sorted(set(options) - set(OPTIONS)):
            raise InvalidSettings(f"unknown settings: {', '.join(unknown)}")
        groups = {name: dict(values) for name, values in base.items()}
        for option, value in options.items():
            group, field = OPTIONS[option]
            groups.setdefault(group, {})[field] = value
        try:
            return cls.model_validate(groups)
        except ValidationError as error:
            raise InvalidSettings(_explain(error)) from error


def _options() -> Iterator[tuple[str, tuple[str, str]]]:
    for name, group in get_type_hints(Settings).items():
        if isinstance(group, type) and issubclass(group, _Group):
            for field in group.model_fields:
                yield f"{group.PREFIX}{field}", (name, field)


OPTIONS: Mapping[str, tuple[str, str]] = dict(_options())
"""Flat name of every option, and its group and field."""


def _explain(error: ValidationError) -> str:
    """Every unusable value, under the name of its variable."""
    names = {place: option for option, place in OPTIONS.items()}
    reasons = []
    for item in error.errors():
        group, field, *_ = (*map(str, item["loc"]), "")
        option = names.get((group, field), group)
        reasons.append(f"{PREFIX}{option.upper()}: {item['msg']}")
    return "; ".join(reasons)
