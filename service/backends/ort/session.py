"""Sessions of ONNX Runtime: hardware, fallbacks, threads and memory.

The only importer of `onnxruntime` in the service.

Three defaults of the library are avoided here: thread counts taken from the host instead of the
container, a memory arena for each session that doubles and never shrinks, and the CPU computing
silently although a GPU was asked for.
"""

import contextlib
import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import onnxruntime

from service.errors import ProviderUnavailable
from service.settings import Provider, RuntimeSettings, Settings

Session: TypeAlias = onnxruntime.InferenceSession

_PROVIDER_NAMES = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}

# The smallest graph there is, to check that a provider starts: IR version 8, one node
# Identity from `x` to `y`, both float32 of shape 1, opset 13.
_PROBE = (
    b'\x08\x08:6\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x00Z\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04'
    b"\n\x02\x08\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)


@dataclass(frozen=True)
class OrtOptions:
    """Options of the graphs that one process runs.

    Attributes:
        runtime: hardware and threads.
        concurrent: whether graphs may run beside others, each then in its caller's thread only.
        on_device: whether one graph's outputs stay on the device for the next graph.
    """

    runtime: RuntimeSettings
    concurrent: bool = False
    on_device: bool = False

    @classmethod
    def of(cls, settings: Settings) -> "OrtOptions":
        """Return the options that follow from the settings."""
        on_cpu = settings.runtime.provider == "cpu"
        concurrent = on_cpu and settings.batching.workers > 1
        return cls(settings.runtime, concurrent=concurrent, on_device=not on_cpu)

    @property
    def device(self) -> tuple[str, int]:
        """Name and index of the device that computes."""
        on_cpu = self.runtime.provider == "cpu"
        return ("cpu", 0) if on_cpu else ("cuda", self.runtime.device_id)

    def single_threaded(self) -> "OrtOptions":
        """Return the same options with one thread within a graph."""
        return replace(self, runtime=self.runtime.model_copy(update={"threads": 1}))


def open_session(model: str | bytes, runtime: RuntimeSettings) -> Session:
    """Build the session of a graph.

    Args:
        model: path or bytes of an ONNX file.
        runtime: hardware and threads.
    """
    options = _session_options(runtime)
    return onnxruntime.InferenceSession(model, options, providers=providers(runtime))


def check_provider(runtime: RuntimeSettings) -> None:
    """Start the provider once, on the smallest graph there is.

    Raises:
        ProviderUnavailable: the requested hardware does not compute here.
    """
    name = _PROVIDER_NAMES[runtime.provider]
    if name not in onnxruntime.get_available_providers():
        raise ProviderUnavailable(f"this build of ONNX Runtime has no {name}")
    if runtime.provider != "cpu":
        load_device_libraries()
    active_providers(runtime.provider, open_session(_PROBE, runtime))


def load_device_libraries() -> None:
    """Load the libraries of CUDA from the packages of this environment, where there are some.

    ONNX Runtime finds them by itself only if the system's loader does. Complaints of the loader go
    to standard error: the answers of a command are on standard output.
    """
    with contextlib.redirect_stdout(sys.stderr):
        onnxruntime.preload_dlls()


def shrink_arena() -> None:
    """Return the memory of the shared arena that no session uses to the operating system.

    The arena keeps what the largest batch so far took. It is shrunk at the end of a run with this
    option, by whichever session.
    """
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    _probe_session().run(["y"], {"x": np.zeros(1, np.float32)}, options)


@functools.cache
def _probe_session() -> Session:
    return open_session(_PROBE, RuntimeSettings(provider="cpu", threads=1))


def active_providers(provider: Provider, session: Session) -> tuple[str, ...]:
    """Return the providers of a session, in order of preference.

    `get_available_providers` also lists providers that cannot start, so the session is asked.

    Raises:
        ProviderUnavailable: the session prefers another provider than the requested one.
    """
    active: Sequence[str] = session.get_providers()
    name = _PROVIDER_NAMES[provider]
    if not active or active[0] != name:
        raise ProviderUnavailable(f"{name} was asked for, but the session runs on {active}")
    return tuple(active)


def providers(runtime: RuntimeSettings) -> list[tuple[str, dict[str, str]]]:
    """Return the requested provider and its fallbacks, with the options of each."""
    cuda = {
        "device_id": str(runtime.device_id),
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
    }
    tensorrt = {"device_id": str(runtime.device_id)}
    if runtime.tensorrt_cache_dir is not None:
        tensorrt["trt_engine_cache_enable"] = "1"
        tensorrt["trt_engine_cache_path"] = str(runtime.tensorrt_cache_dir)
    options = {
        "TensorrtExecutionProvider": tensorrt,
        "CUDAExecutionProvider": cuda,
        "CPUExecutionProvider": {},
    }
    order = list(options)
    first = order.index(_PROVIDER_NAMES[runtime.provider])
    return [(name, options[name]) for name in order[first:]]


def _session_options(runtime: RuntimeSettings) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = runtime.threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    _share_arena()
    options.add_session_config_entry("session.use_env_allocators", "1")
    # Weights live as long as their session. In the arena they would leave holes in it.
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    options.enable_mem_pattern = False  # keeps memory for each shape of the inputs
    # Threads that spin between two operators starve the event loop on a small machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


@functools.cache
def _share_arena() -> None:
    """Register one arena of CPU memory that all sessions of this process take from.

    An arena for each session would keep the memory of that session's largest batch, and a service
    that swaps versions would grow. Without any arena, each run takes its memory from the C library,
    which gives out memory that is no longer in the cache of the processor: findings of one image
    then take 1.13 times the CPU time.
    """
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    # Grow by what is asked for; by default, the arena doubles.
    arena = onnxruntime.OrtArenaCfg({"arena_extend_strategy": 1})
    onnxruntime.create_and_register_allocator(memory, arena)
