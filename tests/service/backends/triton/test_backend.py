"""A version in a real Triton answers as it does in ONNX Runtime, comes, goes and comes back."""

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc

from radiograph.errors import InvalidVersion
from radiograph.repository.repository import Repository
from service.backends import factory
from service.backends.base import Backend, on_behalf_of
from service.backends.ort import OrtBackend, Sessions
from service.backends.ort_options import OrtOptions
from service.backends.triton import repository_view
from service.backends.triton.backend import TritonBackend
from service.errors import BackendUnavailable, NotReady
from service.registry.loader import OpenVersion, VersionLoader
from service.settings import Settings
from tests.builders.models import tiny_version
from tests.builders.triton.triton_process import Triton

WAYS = [("grpc", False), ("grpc", True), ("http", False), ("http", True)]
IDS = [f"{protocol}{'-shared' if shared else ''}" for protocol, shared in WAYS]
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    server = Triton(tmp_path_factory.mktemp("triton"), "--log-verbose=1")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def own(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that tests add versions to: `tiny/1`, `stable`."""
    return tiny_version.copy(tiny_models, tmp_path_factory.mktemp("own") / "models")


def settings(triton: Triton, models: Path, protocol: str = "grpc", **changes: Any) -> Settings:
    given = {
        "models_dir": models,
        "default_model": "tiny",
        "backend": "triton",
        "triton_protocol": protocol,
        "triton_url": triton.url(protocol),
        "triton_view": triton.repository,
        "triton_wait_s": 0,
    }
    return Settings.of(**given | changes)


def load(settings: Settings, version: int = 1) -> OpenVersion:
    repository = Repository(settings.models.models_dir)
    backends = factory.factory(settings)
    return VersionLoader(repository, backends, settings.limits).load("tiny", version)


def local(models: Path, version: int = 1) -> OrtBackend:
    repository = Repository(models)
    manifest = repository.load_manifest("tiny", version)
    return OrtBackend(repository.folder("tiny", version), manifest, Sessions(OrtOptions()))


def images(count: int) -> Any:
    shape = (count, 1, tiny_version.SIZE_PX, tiny_version.SIZE_PX)
    return np.random.default_rng(7).uniform(-1, 1, shape).astype(np.float32)


IDS_OF_PHRASES = np.array([[2, 4, 6, 3], [2, 5, 3, 0], [2, 7, 3, 0]], dtype=np.int64)


def everything(backend: Backend, count: int) -> dict[str, Any]:
    """What all calls give for so many images and three phrases."""
    image, mask = images(count), (IDS_OF_PHRASES != 0).astype(np.int64)
    phrases = backend.text(IDS_OF_PHRASES, mask)
    features = backend.trunk(image) | {"phrase_features": phrases}
    answers = backend.answers(image, tiny_version.HEADS, phrases)
    found = {"phrases": phrases}
    found |= {f"trunk.{name}": value for name, value in features.items()}
    found["vectors"] = answers.features["global_features"]
    for name, head in tiny_version.HEADS.items():
        alone = backend.head(name, {item: features[item] for item in head.inputs})
        found |= {f"head.{name}.{output}": value for output, value in alone.items()}
        found |= {f"{name}.{output}": value for output, value in answers.heads[name].items()}
    return found


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize(("protocol", "shared"), WAYS, ids=IDS)
@pytest.mark.parametrize("count", [1, 11])
def test_every_call_gives_what_onnx_runtime_gives(
    triton: Triton, own: Path, protocol: str, shared: bool, count: int
) -> None:
    chosen = settings(triton, own, protocol, triton_shared_memory=shared, triton_unload=False)
    loaded = load(chosen)
    try:
        assert loaded.backend.providers == ("Triton",)
        assert_equal(everything(loaded.backend, count), everything(local(own), count))
    finally:
        loaded.backend.close()


def test_the_service_asks_for_answers_so_that_features_stay_in_triton() -> None:
    assert TritonBackend.remote
    assert not OrtBackend.remote


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_threads_do_not_get_each_others_answers(triton: Triton, own: Path, protocol: str) -> None:
    chosen = settings(triton, own, protocol, triton_shared_memory=True, triton_unload=False)
    backend, reference = load(chosen).backend, local(own)
    levels = np.linspace(-1, 1, 24, dtype=np.float32)

    def ask(level: float) -> Any:
        image = np.full((1, 1, tiny_version.SIZE_PX, tiny_version.SIZE_PX), level, np.float32)
        pair = (source.answers(image, ["anatomy"]) for source in (backend, reference))
        return [answers.heads["anatomy"]["logits"] for answers in pair]

    with ThreadPoolExecutor(6) as threads:
        for found, expected in threads.map(ask, levels):
            np.testing.assert_allclose(found, expected, atol=TOLERANCE)
    backend.close()


def test_the_request_ids_are_in_the_log_of_triton(triton: Triton, own: Path) -> None:
    loaded = load(settings(triton, own, triton_unload=False))
    with on_behalf_of("first-request", "second-request"):
        loaded.backend.answers(images(2), ["findings"])
    triton.wait_for("request id: first-request,second-request, model: tiny-v1, ")
    loaded.backend.close()


def test_regions_are_registered_once_used_again_and_unregistered_at_the_end(
    triton: Triton, own: Path
) -> None:
    client = tritonclient.grpc.InferenceServerClient(triton.url())

    def regions() -> set[str]:
        return set(client.get_system_shared_memory_status().regions)

    backend = load(settings(triton, own, triton_shared_memory=True, triton_unload=False)).backend
    for _ in range(3):
        everything(backend, 2)
    first = regions()
    for _ in range(3):
        everything(backend, 2)
    assert regions() == first
    assert first
    backend.close()
    assert regions() == set()
    assert not [path for path in Path("/dev/shm").iterdir() if path.name in first]  # noqa: S108
    client.close()


def with_other_findings(stage: Path) -> None:
    """Another version: its findings are less sure."""
    path = stage / "heads" / "findings.onnx"
    path.write_bytes(tiny_version.less_sure(path.read_bytes()))
    np.savez(stage / "golden.npz", **tiny_version.golden(stage))  # type: ignore[arg-type] # numpy's stub


def states(triton: Triton) -> set[tuple[str, str]]:
    """What answers, as Triton says."""
    with tritonclient.grpc.InferenceServerClient(triton.url()) as client:
        index = client.get_model_repository_index().models
        return {(item.name, item.version) for item in index if item.state == "READY"}


def test_versions_come_and_go_while_another_answers(triton: Triton, own: Path) -> None:
    build = factory.factory(settings(triton, own))
    repository = Repository(own)

    def open_version(number: int) -> Backend:
        return build(repository.folder("tiny", number), repository.load_manifest("tiny", number))

    first = open_version(1)
    number = tiny_version.publish(own, alias="canary", change=with_other_findings)
    ended, failures, answered = threading.Event(), [], 0
    expected = local(own).answers(images(1), ["findings"]).heads["findings"]["logits"]

    def ask() -> None:
        nonlocal answered
        while not ended.is_set():
            try:
                found = first.answers(images(1), ["findings"]).heads["findings"]["logits"]
                np.testing.assert_allclose(found, expected, atol=TOLERANCE)
                answered += 1
            except (AssertionError, BackendUnavailable) as error:
                failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        second = open_version(number)
        newer = everything(second, 2)
        second.close()
    finally:
        ended.set()
        thread.join()
    assert not failures
    assert answered
    assert_equal(newer, everything(local(own, number), 2))
    assert not np.allclose(newer["findings.logits"], everything(first, 2)["findings.logits"])
    assert (f"tiny-v{number}", str(number)) not in states(triton)
    assert ("tiny-v1", "1") in states(triton)
    first.close()
    assert not {name for name, _ in states(triton)} & {"tiny-v1", "tiny-trunk", "tiny-text"}


def test_a_closed_version_is_no_longer_there(triton: Triton, own: Path) -> None:
    loaded = load(settings(triton, own))
    loaded.backend.close()
    with tritonclient.grpc.InferenceServerClient(triton.url()) as client:
        assert not client.is_model_ready("tiny-trunk", "1")


def alter(triton: Triton) -> Path:
    """Put another graph where Triton reads the findings from."""
    path = triton.repository / "tiny-findings" / "1" / "model.onnx"
    path.write_bytes(tiny_version.less_sure(path.read_bytes()))
    return path


def test_a_triton_that_answers_differently_never_becomes_ready(triton: Triton, own: Path) -> None:
    repository_view.render(Repository(own), triton.repository)
    path = alter(triton)
    with pytest.raises(InvalidVersion, match=r"`findings\.logits` differs by 3"):
        load(settings(triton, own, triton_view=None))
    assert ("tiny-v1", "1") not in states(triton)
    path.write_bytes(b"no graph")
    with pytest.raises(InvalidVersion, match="Triton cannot load tiny-v1"):
        load(settings(triton, own, triton_view=None))


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_what_triton_does_not_hold_is_not_ready(triton: Triton, own: Path, protocol: str) -> None:
    for place in triton.repository.glob("tiny-*"):
        shutil.rmtree(place)
    with pytest.raises(NotReady, match="does not hold tiny-v1"):
        load(settings(triton, own, protocol, triton_view=None))


def test_a_model_that_is_rendered_late_is_waited_for(triton: Triton, own: Path) -> None:
    for place in triton.repository.glob("tiny-*"):
        shutil.rmtree(place)
    seen = threading.Event()

    def render() -> None:
        triton.wait_for("failed to poll model 'tiny-v1'")
        repository_view.render(Repository(own), triton.repository)
        seen.set()

    thread = threading.Thread(target=render)
    thread.start()
    loaded = load(settings(triton, own, triton_view=None, triton_wait_s=60))
    assert seen.is_set()
    assert isinstance(loaded.backend, TritonBackend)
    loaded.backend.close()
    thread.join()
