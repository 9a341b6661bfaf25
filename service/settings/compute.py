"""Settings of the runtime, of batching and of decoding."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from radiograph.manifest import Precision
from service.host import available_cpus, decoder_processes
from service.settings.group import MIB, Group

Provider = Literal["cpu", "cuda", "tensorrt"]


class RuntimeSettings(Group):
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


class BatchingSettings(Group):
    """Dynamic batching, and admission to it."""

    workers: int = Field(default=2, ge=1, le=64)
    """Batches that are computed at the same time."""
    max_batch: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = "auto"
    """Most radiographs in one batch; `auto` measures the fastest size when a version is loaded."""
    waiting: int = Field(default=64, ge=0, le=1024)
    """Requests that may be in progress beyond `workers`; further ones get 503 at once, except for a
    few of clients that hold less than their share."""
    max_wait_s: float = Field(default=10.0, gt=0)
    """Longest expected wait in seconds; a request that would wait longer gets 503 at once."""

    @property
    def permits(self) -> int:
        """Requests that may be in progress at the same time."""
        return self.workers + self.waiting


class DecodingSettings(Group):
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
    open_files: int = Field(default=64, ge=32, le=1024)
    """Files that a decoder process may have open at the same time."""
