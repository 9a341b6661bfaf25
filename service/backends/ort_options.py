"""What ONNX Runtime computes with: the hardware asked for, and what it may fall back on."""

from dataclasses import dataclass
from pathlib import Path

from service.settings import Provider

WANTED = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


@dataclass(frozen=True)
class OrtOptions:
    """What computes, and with how much of the machine.

    Attributes:
        provider: the hardware that must compute; the CPU only takes what it cannot.
        threads: threads within one graph that runs alone.
        narrow: whether a graph that runs beside others does so in its caller's thread only.
        bound: whether what one graph gives another stays on the device.
        device_id: which GPU.
        tensorrt_cache_dir: where TensorRT keeps its engines, or None.
    """

    provider: Provider = "cpu"
    threads: int = 1
    narrow: bool = False
    bound: bool = False
    device_id: int = 0
    tensorrt_cache_dir: Path | None = None


def providers(options: OrtOptions) -> list[tuple[str, dict[str, str]]]:
    """The wanted provider and what it may fall back on, operator by operator."""
    cuda = {
        "device_id": str(options.device_id),
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
    }
    tensorrt = {"device_id": str(options.device_id)}
    if options.tensorrt_cache_dir is not None:
        tensorrt["trt_engine_cache_enable"] = "1"
        tensorrt["trt_engine_cache_path"] = str(options.tensorrt_cache_dir)
    every = {
        "TensorrtExecutionProvider": tensorrt,
        "CUDAExecutionProvider": cuda,
        "CPUExecutionProvider": {},
    }
    order = list(every)
    return [(name, every[name]) for name in order[order.index(WANTED[options.provider]) :]]
