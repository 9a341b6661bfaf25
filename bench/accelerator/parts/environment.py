"""Driver, torch and ONNX Runtime: which versions there are, and that the GPU really computes."""

import importlib.util
import platform
import shutil
import subprocess
from typing import Any

import torch

from bench.accelerator.findings import Findings, Options, Table
from bench.reporting.checks import Check, at_most, not_measured

_MIB = 2**20
_SIDE = 64


def measure(options: Options) -> Findings:
    """Name the device and check that torch and ONNX Runtime compute on it."""
    rows = [*_versions(), *_device(options.device)]
    checks = [_torch_computes(options.device), *_runtime_computes(options)]
    return Findings(checks, [Table("Machine", ["", ""], rows)])


def _versions() -> list[list[str]]:
    cudnn = torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else "none"
    return [
        ["Python", platform.python_version()],
        ["torch", torch.__version__],
        ["CUDA of torch", str(torch.version.cuda)],
        ["cuDNN", str(cudnn)],
    ]


def _device(device: str) -> list[list[str]]:
    if device == "cpu":
        return [["device", "CPU: the figures on this page prove no GPU path"]]
    found = torch.cuda.get_device_properties(0)
    return [
        ["driver", _driver()],
        ["GPUs", f"{torch.cuda.device_count()} x {found.name}"],
        ["memory", f"{found.total_memory / _MIB:.0f} MiB"],
        ["compute capability", f"{found.major}.{found.minor}"],
        ["bfloat16", "yes" if torch.cuda.is_bf16_supported() else "no"],
    ]


def _driver() -> str:
    """Return the version of the driver as nvidia-smi prints it."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "unknown, nvidia-smi is missing"
    command = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else "unknown"


def _torch_computes(device: str) -> Check:
    """Check a product of integers, which is exact, so that it must equal the CPU's."""
    numbers = torch.arange(_SIDE * _SIDE, dtype=torch.float64).view(_SIDE, _SIDE)
    there = numbers.to(device)
    gap = float(((there @ there).cpu() - numbers @ numbers).abs().max())
    return at_most(f"torch on {device}: matrix product", gap, 0.0, "", "difference from the CPU")


def _runtime_computes(options: Options) -> list[Check]:
    """Check that ONNX Runtime computes on the device, by the providers that a session has."""
    name = "ONNX Runtime: provider of a session"
    wanted = "CUDAExecutionProvider" if options.device == "cuda" else "CPUExecutionProvider"
    for package in ("onnxruntime", "onnx"):
        if importlib.util.find_spec(package) is None:
            return [not_measured(name, wanted, f"the package {package} is not installed")]
    import onnxruntime

    if options.device == "cuda":
        onnxruntime.preload_dlls()
    # A provider that cannot start is dropped in silence: the session's list tells, and
    # onnxruntime.get_available_providers() does not.
    session = onnxruntime.InferenceSession(_doubling_graph(), providers=[wanted])
    used = session.get_providers()
    numbers = torch.arange(_SIDE, dtype=torch.float32).numpy()
    (doubled,) = session.run(None, {"x": numbers})
    gap = float(abs(doubled - 2 * numbers).max())
    version = f"onnxruntime {onnxruntime.__version__}"
    return [
        Check(name, wanted, ", ".join(used), used[0] == wanted, version),
        at_most("ONNX Runtime: x + x", gap, 0.0, "", "difference from 2 x"),
    ]


def _doubling_graph() -> Any:
    """Return a graph that adds a vector to itself."""
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [_SIDE]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "double", [x], [y])
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
