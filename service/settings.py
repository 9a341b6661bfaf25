"""Settings of the service, read once from `G2D_*` environment variables.

    G2D_PORT=9000 G2D_PROVIDER=cuda g2d serve

A variable is named `G2D_`, the prefix of its group, and the field in upper case: `jobs.dir` is
`G2D_JOBS_DIR`. An unknown `G2D_` variable is logged, so that a misspelt one does not go unnoticed.
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_type_hints

from pydantic import Field, SecretStr, ValidationError, field_validator

from radiograph.limits import Limits as ImageLimits
from radiograph.manifest import Precision
from radiograph.strict_model import StrictModel
from service.errors import InvalidSettings
from service.host import available_cpus, decoder_processes, state_dir

logger = logging.getLogger("g2d.settings")

PREFIX = "G2D_"
MIB = 1024 * 1024

MIN_OVERLAY_SIDE_PX = 64
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,512}")

Provider = Literal["cpu", "cuda", "tensorrt"]


class _Group(StrictModel):
    """Settings of one component.

    Attributes:
        PREFIX: precedes the names of the fields in environment variables.
    """

    PREFIX: ClassVar[str] = ""


class ServerSettings(_Group):
    """Address, shutdown, metrics and log of the server."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 chooses a free one."""
    stop_grace_s: int = Field(default=30, ge=0)
    """Seconds that requests in progress may take to finish once the service is told to stop."""
    metrics: bool = True
    """Serve `GET /metrics`. If off, nothing is counted and the path answers 404."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged; requests are logged at `info`, probes and scrapes at `debug`."""


class LimitSettings(_Group):
    """Bounds on one request."""

    max_body_bytes: int = Field(default=64 * MIB, ge=1024)
    """Largest request body. An image of 43 x 43 cm with pixels of 0.1 mm takes 37 MB."""
    max_buffered_bytes: int = Field(default=512 * MIB, ge=1024)
    """Memory for the bodies of all requests together; one largest body always fits."""
    max_pixels: int = Field(default=64_000_000, ge=1024)
    """Most pixels, rows x columns, of one image."""
    max_phrases: int = Field(default=8, ge=1, le=64)
    """Most phrases in one request."""
    max_phrase_chars: int = Field(default=512, ge=1, le=4096)
    """Most characters in one phrase."""
    body_timeout_s: float = Field(default=30.0, gt=0)
    """Seconds within which a request body must arrive."""
    request_timeout_s: float = Field(default=30.0, gt=0)
    """Deadline in seconds of a request that does not ask for another one."""
    max_request_timeout_s: float = Field(default=300.0, gt=0)
    """Longest deadline in seconds that a request may ask for."""
    overlay_side_px: int = Field(default=2048, ge=MIN_OVERLAY_SIDE_PX)
    """Longest side of an overlay; larger images are scaled down."""
    phrase_cache: int = Field(default=1024, ge=0)
    """Phrases whose features are cached, for each version."""

    @property
    def image(self) -> ImageLimits:
        """Bounds on one file, as the readers take them."""
        return ImageLimits(max_bytes=self.max_body_bytes, max_pixels=self.max_pixels)

    @property
    def body_memory_bytes(self) -> int:
        """Memory for the bodies of all requests, with room for one largest body."""
        return max(self.max_buffered_bytes, self.max_body_bytes)

    @property
    def max_phrase_bytes(self) -> int:
        """Largest size of one phrase in UTF-8, which has up to four bytes for a character."""
        return 4 * self.max_phrase_chars


class SecuritySettings(_Group):
    """Access to administration."""

    admin_token: SecretStr | None = None
    """Bearer token of clients that may change aliases and canary shares; if empty, none may."""

    @field_validator("admin_token")
    @classmethod
    def _hard_to_guess(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if not _TOKEN.fullmatch(value.get_secret_value()):
            raise ValueError("a token must have 16 to 512 letters, digits or characters of -._~+/=")
        return value


class ModelSettings(_Group):
    """The model repository, and the choice of the version that answers."""

    models_dir: Path = Path("models")
    """Folder of the model repository, `<name>/<version>/`."""
    default_model: str = "g2d-cxr"
    """Model of a request that names none; the service is ready once this model is loaded."""
    default_alias: str = "stable"
    """Alias of a request that names no version."""
    aliases: tuple[str, ...] = ("stable", "canary")
    """Aliases whose versions are loaded, for every model."""
    watch_interval_s: float = Field(default=2.0, ge=0, le=86400)
    """Seconds between two checks for new versions and moved aliases; 0 checks at start only."""
    keep_retired: int = Field(default=1, ge=0, le=16)
    """Former versions of each alias that stay loaded, so that a roll-back is immediate."""
    canary_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the requests without a version that the alias `canary` answers."""
    canary_shares: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    """Canary shares of single models, which override `canary_share`: `g2d-cxr=0.1,other=0`."""
    shadow_alias: str | None = None
    """Alias that also runs on each request, after the answer is sent and while there is no load."""

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
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def served_aliases(self) -> tuple[str, ...]:
        """Every alias whose version is to be loaded."""
        shadow = () if self.shadow_alias is None else (self.shadow_alias,)
        return tuple(dict.fromkeys((*self.aliases, *shadow)))


class RuntimeSettings(_Group):
    """Runtime and hardware that execute the graphs."""

    backend: Literal["ort", "triton"] = "ort"
    """Runtime of the graphs: `ort` is ONNX Runtime in this process, `triton` a Triton server."""
    provider: Provider = "cpu"
    """Hardware that must compute; if it is not available, the service does not start."""
    device_id: int = Field(default=0, ge=0)
    """Index of the GPU."""
    variant: Literal["auto"] | Precision = "auto"
    """Precision of the trunk. `auto` measures when a version is loaded, and serves `int8` if the
    version has it and the processor gains; with GPUs and Triton it is `float32`."""
    tensorrt_cache_dir: Path | None = None
    """Folder in which TensorRT caches the engines that it builds, for a faster next start."""
    threads: int = Field(default_factory=available_cpus, ge=1, le=256)
    """Threads within one graph; by default, the CPUs that this process may use."""


class BatchingSettings(_Group):
    """Dynamic batching, and admission to it."""

    workers: int = Field(default=2, ge=1, le=64)
    """Batches that are computed at the same time."""
    max_batch: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = "auto"
    """Most radiographs in one batch; `auto` measures the fastest size when a version is loaded."""
    waiting: int = Field(default=64, ge=0, le=1024)
    """Requests that may be in progress beyond `workers`; further ones get 503 at once."""
    max_wait_s: float = Field(default=10.0, gt=0)
    """Longest expected wait in seconds; a request that would wait longer gets 503 at once."""

    @property
    def permits(self) -> int:
        """Requests that may be in progress at the same time."""
        return self.workers + self.waiting


class DecodingSettings(_Group):
    """Decoder processes."""

    PREFIX: ClassVar[str] = "decode_"

    workers: int = Field(default_factory=decoder_processes, ge=0, le=64)
    """Decoder processes. With 0, files are decoded in the service itself, where decoding cannot be
    interrupted; this is the default on systems other than Linux. Each keeps up to 64 MiB of freed
    memory."""
    timeout_s: float = Field(default=20.0, gt=0)
    """Seconds within which a file must be decoded."""
    memory_bytes: int = Field(default=2048 * MIB, ge=64 * MIB)
    """Memory that decoding one file may allocate."""


class TritonSettings(_Group):
    """Connection to the Triton server, used if `backend` is `triton`."""

    PREFIX: ClassVar[str] = "triton_"

    protocol: Literal["grpc", "http"] = "grpc"
    """Protocol of the connection."""
    url: str = Field(default="127.0.0.1:8001", pattern=r"^[^\s/]+:[0-9]{1,5}(/[^\s]*)?$")
    """Address of Triton, HOST:PORT; its default ports are 8001 for gRPC and 8000 for HTTP."""
    timeout_s: float = Field(default=10.0, gt=0)
    """Seconds within which Triton must answer one call."""
    load_timeout_s: float = Field(default=300.0, gt=0)
    """Seconds within which Triton must load one graph."""
    wait_s: float = Field(default=30.0, ge=0)
    """Seconds that loading waits for Triton, or for a version in it, to become available."""
    tls: bool = False
    """Encrypt the connection, and verify Triton's certificate."""
    ca_file: Path | None = None
    """PEM file of the authorities that may sign Triton's certificate; by default, the system's."""
    certificate_file: Path | None = None
    """PEM file of the certificate that the service shows to Triton, if Triton requires one."""
    key_file: Path | None = None
    """PEM file of the private key to `triton_certificate_file`."""
    shared_memory: bool = False
    """Pass arrays in shared memory; Triton must run on this host and share its /dev/shm."""
    view: Path | None = None
    """Folder of Triton's model repository, if this service is to render it as versions change."""
    unload: bool = True
    """Unload from Triton what is closed here; switch off if other services use the same Triton."""


class JobSettings(_Group):
    """Background jobs."""

    PREFIX: ClassVar[str] = "jobs_"

    dir: Path | None = Field(default_factory=lambda: state_dir() / "jobs")
    """Folder of the files of jobs, and of their database unless `jobs_url` is set. Processes with
    one database must share this folder. If empty, there are no jobs."""
    url: SecretStr | None = None
    """URL of the job database, `postgresql+psycopg://...`; by default, SQLite in `jobs_dir`."""
    list: bool = False
    """Let every client list all jobs with `GET /v1/jobs`."""
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
    uploads: int = Field(default=4, ge=1, le=256)
    """Job uploads that may be in progress at the same time."""
    min_free_bytes: int = Field(default=256 * MIB, ge=0)
    """Free space on the disk of `jobs_dir` that no job may use."""

    @field_validator("dir", "url", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value


class Settings(StrictModel):
    """All settings of the service, in groups. Frozen; the caller of `create_app` builds them once.

    Outside the groups a setting has a flat name: the prefix of its group and the field, such as
    `jobs_dir`.
    """

    server: ServerSettings = Field(default_factory=ServerSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    security: SecuritySettings = Field(default_factory=SecuritySettings)
    models: ModelSettings = Field(default_factory=ModelSettings)
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings)
    batching: BatchingSettings = Field(default_factory=BatchingSettings)
    decoding: DecodingSettings = Field(default_factory=DecodingSettings)
    triton: TritonSettings = Field(default_factory=TritonSettings)
    jobs: JobSettings = Field(default_factory=JobSettings)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings from environment variables.

        Raises:
            InvalidSettings: a variable has an invalid value.
        """
        environ = os.environ if environ is None else environ
        given = {
            name.removeprefix(PREFIX).lower(): value
            for name, value in environ.items()
            if name.startswith(PREFIX)
        }
        # Docker Compose and Kubernetes use variables with this prefix for purposes of their own.
        if unknown := sorted(set(given) - set(OPTIONS)):
            logger.warning("unknown settings are ignored: %s", unknown)
        return cls.of(**{name: given[name] for name in given.keys() - set(unknown)})

    @classmethod
    def of(cls, **options: object) -> "Settings":
        """Build settings from values by flat name; all others have their defaults.

        Raises:
            InvalidSettings: a name is unknown or a value is invalid.
        """
        return cls._build({}, options)

    def changed(self, **options: object) -> "Settings":
        """Return a copy with other values by flat name; a value of None changes nothing.

        Raises:
            InvalidSettings: a name is unknown or a value is invalid.
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
"""Flat name of every setting -> its group and its field."""


def _explain(error: ValidationError) -> str:
    """Return every invalid value's reason, under the name of its environment variable."""
    names = {place: option for option, place in OPTIONS.items()}
    reasons = []
    for item in error.errors():
        group, field, *_ = (*map(str, item["loc"]), "")
        option = names.get((group, field), group)
        reasons.append(f"{PREFIX}{option.upper()}: {item['msg']}")
    return "; ".join(reasons)
