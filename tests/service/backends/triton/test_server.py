"""Versions share one Triton: each is loaded, and unloaded when no version needs it any more."""

from collections.abc import Collection

import numpy as np
import pytest

from radiograph.errors import InvalidVersion
from service.backends.base import FloatArray
from service.backends.triton.server import Call, ConnectionLost, TritonServer, chunks
from service.backends.triton.shared_memory import Region
from service.errors import BackendUnavailable, NotReady
from service.settings import TritonSettings

MODELS = ("tiny-trunk", "tiny-findings", "tiny-v1")
"""Triton models of version 1, the ensemble last."""
CALL = Call("tiny-v1", 1, {"image": np.ones((1, 2), np.float32)}, {"logits": (1, 3)})


class FakeTriton:
    """Client of a Triton whose failures a test chooses; it remembers the calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.ready: set[str] = set()
        self.regions: list[str] = []
        self.failures: list[Exception] = []

    def infer(self, call: Call, region: Region | None) -> dict[str, FloatArray]:
        self.calls.append(f"infer {call.model}" + (" in shared memory" if region else ""))
        return {name: np.zeros(shape, np.float32) for name, shape in call.outputs.items()}

    def load(self, model: str) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.calls.append(f"load {model}")
        self.ready.add(model)

    def unload(self, model: str) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.calls.append(f"unload {model}")
        self.ready.discard(model)

    def is_ready(self, model: str, version: int) -> bool:
        return model in self.ready

    def register(self, region: Region) -> None:
        self.regions.append(region.name)

    def unregister(self, region: Region) -> None:
        self.regions.remove(region.name)

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def triton() -> FakeTriton:
    return FakeTriton()


def test_the_ensemble_is_loaded_before_its_graphs(triton: FakeTriton) -> None:
    TritonServer(triton, TritonSettings()).open("tiny", 1, MODELS)
    assert triton.calls == ["load tiny-v1", "load tiny-trunk", "load tiny-findings"]


def test_the_last_version_unloads_everything_and_closes_the_connection(
    triton: FakeTriton,
) -> None:
    server = TritonServer(triton, TritonSettings())
    server.open("tiny", 1, MODELS)
    server.release("tiny", 1, MODELS)
    assert triton.calls[3:] == [
        "unload tiny-v1",
        "unload tiny-trunk",
        "unload tiny-findings",
        "close",
    ]


def test_graphs_that_another_version_uses_are_reloaded_without_the_closed_version(
    triton: FakeTriton,
) -> None:
    server = TritonServer(triton, TritonSettings())
    server.open("tiny", 1, MODELS)
    server.open("tiny", 2, (*MODELS[:2], "tiny-v2"))
    triton.calls.clear()
    server.release("tiny", 1, MODELS)
    assert triton.calls == ["unload tiny-v1", "load tiny-trunk", "load tiny-findings"]


def test_a_version_that_is_open_twice_stays_loaded(triton: FakeTriton) -> None:
    server = TritonServer(triton, TritonSettings())
    for _ in range(2):
        server.open("tiny", 1, MODELS)
    triton.calls.clear()
    server.release("tiny", 1, MODELS)
    assert triton.calls == []


def test_nothing_is_unloaded_from_a_triton_that_others_use(triton: FakeTriton) -> None:
    server = TritonServer(triton, TritonSettings(unload=False))
    server.open("tiny", 1, MODELS)
    server.release("tiny", 1, MODELS)
    assert triton.calls[3:] == ["close"]


def test_the_view_holds_the_versions_in_use(triton: FakeTriton) -> None:
    rendered: list[tuple[str, list[int]]] = []

    def render(name: str, versions: Collection[int]) -> None:
        rendered.append((name, sorted(versions)))

    server = TritonServer(triton, TritonSettings(), render)
    server.open("tiny", 1, MODELS)
    server.open("tiny", 2, MODELS)
    server.release("tiny", 1, MODELS)
    assert rendered == [("tiny", [1]), ("tiny", [1, 2]), ("tiny", [2])]


@pytest.mark.parametrize("failure", [NotReady("not yet"), ConnectionLost("starting")])
def test_loading_waits_for_a_triton_that_is_not_ready_yet(
    triton: FakeTriton, failure: Exception
) -> None:
    triton.failures = [failure]
    TritonServer(triton, TritonSettings(wait_s=60)).open("tiny", 1, MODELS)
    assert triton.ready == set(MODELS)


@pytest.mark.parametrize("failure", [NotReady("not yet"), InvalidVersion("no graph")])
def test_a_version_that_cannot_be_loaded_is_released(
    triton: FakeTriton, failure: Exception
) -> None:
    triton.failures = [failure]
    with pytest.raises(type(failure)):
        TritonServer(triton, TritonSettings(wait_s=0)).open("tiny", 1, MODELS)
    assert triton.calls[-1] == "close"


def test_an_error_while_unloading_is_logged(
    triton: FakeTriton, caplog: pytest.LogCaptureFixture
) -> None:
    server = TritonServer(triton, TritonSettings())
    server.open("tiny", 1, MODELS)
    triton.failures = [BackendUnavailable("no answer")]
    server.release("tiny", 1, MODELS)
    assert "tiny/1 was not unloaded from Triton: no answer" in caplog.text


def test_calls_use_shared_memory_if_it_is_switched_on(triton: FakeTriton) -> None:
    server = TritonServer(triton, TritonSettings(shared_memory=True))
    server.open("tiny", 1, MODELS)
    for _ in range(2):
        server.infer(CALL)
    assert triton.calls[3:] == ["infer tiny-v1 in shared memory"] * 2
    assert len(triton.regions) == 1
    server.release("tiny", 1, MODELS)
    assert triton.regions == []


def test_without_shared_memory_arrays_go_over_the_network(triton: FakeTriton) -> None:
    assert TritonServer(triton, TritonSettings()).infer(CALL)["logits"].shape == (1, 3)
    assert triton.calls == ["infer tiny-v1"]


def test_inputs_and_outputs_have_their_own_places_in_shared_memory() -> None:
    inputs, outputs, size = CALL.offsets()
    assert (inputs, outputs, size) == ({"image": 0}, {"logits": 64}, 128)


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [(11, 8, [(0, 8), (8, 16)]), (8, 8, [(0, 8)]), (5, 0, [(0, 5)]), (0, 0, [])],
)
def test_chunks_cover_all_items(count: int, size: int, expected: list[tuple[int, int]]) -> None:
    assert [(part.start, part.stop) for part in chunks(count, size)] == expected
