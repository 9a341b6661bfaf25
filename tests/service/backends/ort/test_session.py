"""The requested hardware must compute; nothing falls back to the CPU silently."""

import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from service.backends.factory import backend_factory
from service.backends.ort.session import (
    OrtOptions,
    Session,
    check_provider,
    open_session,
    providers,
)
from service.errors import ProviderUnavailable
from service.settings import RuntimeSettings, Settings

ROOT = Path(__file__).parents[4]
CPU, CUDA, TENSORRT = (f"{name}ExecutionProvider" for name in ("CPU", "CUDA", "Tensorrt"))


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_missing_provider_is_an_error_at_start(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])
    with pytest.raises(ProviderUnavailable, match="ExecutionProvider"):
        backend_factory(Settings().changed(provider=provider))


def test_a_provider_that_is_listed_but_does_not_compute_is_an_error_at_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = onnxruntime.InferenceSession

    def fall_back(model: bytes, options: object, providers: object) -> object:
        return real(model, options, providers=[CPU])

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(onnxruntime, "InferenceSession", fall_back)
    with pytest.raises(ProviderUnavailable, match="the session runs on"):
        backend_factory(Settings.of(provider="cuda"))


@pytest.mark.parametrize(("provider", "loads"), [("cuda", 1), ("cpu", 0)])
def test_libraries_of_the_device_are_loaded_and_print_no_answer(
    provider: str,
    loads: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: sys.stdout.write("no library"))
    active = {"cuda": CUDA, "cpu": CPU}[provider]
    session = SimpleNamespace(get_providers=lambda: [active])
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: session)
    check_provider(RuntimeSettings(provider=provider))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("no library") == loads


def test_a_provider_falls_back_on_those_after_it() -> None:
    runtime = RuntimeSettings(provider="tensorrt", device_id=1, tensorrt_cache_dir=Path("/cache"))
    found = dict(providers(runtime))
    assert list(found) == [TENSORRT, CUDA, CPU]
    assert found[TENSORRT]["trt_engine_cache_path"] == "/cache"
    assert (found[TENSORRT]["device_id"], found[CUDA]["device_id"]) == ("1", "1")
    assert [name for name, _ in providers(RuntimeSettings())] == [CPU]


@pytest.mark.parametrize(
    ("provider", "workers", "concurrent", "on_device"),
    [("cpu", 1, False, False), ("cpu", 2, True, False), ("cuda", 2, False, True)],
)
def test_the_options_follow_from_the_settings(
    provider: str, workers: int, concurrent: bool, on_device: bool
) -> None:
    options = OrtOptions.of(Settings.of(provider=provider, workers=workers))
    assert (options.concurrent, options.on_device) == (concurrent, on_device)
    assert options.device[0] == ("cuda" if on_device else "cpu")


def wide_graph(mib: int) -> bytes:
    """Return a graph that needs so much memory between its input and its output, both a number."""
    graph = helper.make_graph(
        [
            helper.make_node("Expand", ["x", "shape"], ["wide"]),
            helper.make_node("ReduceSum", ["wide"], ["y"], keepdims=0),
        ],
        "wide",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
        [helper.make_tensor("shape", TensorProto.INT64, [1], [mib * 2**20 // 4])],
    )
    opset = [helper.make_opsetid("", 13)]
    model = helper.make_model(graph, ir_version=8, opset_imports=opset)
    onnx.checker.check_model(model)
    made: bytes = model.SerializeToString()
    return made


def new_memory(session: Session) -> int:
    """Run `wide_graph` and return the bytes of the pages that were new."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    session.run(["y"], {"x": np.full(1, 0.5, np.float32)})
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize()


MIB = 40
"""More than what the C library ever keeps, so that without an arena the pages are new."""


def test_a_session_takes_the_memory_that_another_one_has_left() -> None:
    model = wide_graph(MIB)
    first, second = (open_session(model, RuntimeSettings(threads=1)) for _ in range(2))
    assert first.run(["y"], {"x": np.full(1, 0.5, np.float32)})[0] == MIB * 2**20 / 8
    assert new_memory(second) < MIB * 2**20 / 4


FRESH_PROCESS = """
import resource, sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from service.backends.ort.session import open_session, shrink_arena
from service.settings import RuntimeSettings

session = open_session(Path(sys.argv[1]).read_bytes(), RuntimeSettings(threads=1))

def new_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    session.run(["y"], {"x": np.full(1, 0.5, np.float32)})
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize()

new_memory()
shrink_arena()
print(new_memory(), new_memory())
"""
"""The arena is that of the process, and returns no region in which another session has memory."""


def test_memory_that_no_session_uses_is_returned(tmp_path: Path) -> None:
    (tmp_path / "wide.onnx").write_bytes(wide_graph(MIB))
    command = [sys.executable, "-c", FRESH_PROCESS, str(tmp_path / "wide.onnx")]
    ran = subprocess.run(command, capture_output=True, check=True, cwd=ROOT, text=True)
    after_shrinking, again = map(int, ran.stdout.split())
    assert after_shrinking > MIB * 2**20 * 0.75
    assert again < MIB * 2**20 / 4
