"""A version in a real Triton gives the outputs of ONNX Runtime, from loading to unloading."""

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
from service.backends.base import Backend, on_behalf_of
from service.backends.factory import backend_factory
from service.backends.ort.backend import OrtBackend
from service.backends.triton import repository_view
from service.backends.triton.backend import TritonBackend
from service.errors import BackendUnavailable, NotReady
from service.registry.loading.loader import OpenVersion, VersionLoader
from service.settings import Settings
from tests.builders.models.versions import tiny_version
from tests.builders.service.backends.ort_graphs import graph_cache
from tests.builders.triton.triton_process import Triton

TRANSPORTS = [("grpc", False), ("grpc", True), ("http", False), ("http", True)]
IDS = [f"{protocol}{'-shared' if shared else ''}" for protocol, shared in TRANSPORTS]
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    server = Triton(tmp_path_factory.mktemp("triton"), "--log-verbose=1")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def own(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Repository that tests add versions to: `tiny/1`, `stable`."""
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
    backends = backend_factory(settings)
    return VersionLoader(repository, backends, settings.limits).load("tiny", version)


def local(models: Path, version: int = 1) -> OrtBackend:
    repository = Repository(models)
    manifest = repository.load_manifest("tiny", version)
    return OrtBackend(repository.folder("tiny", version), manifest, graph_cache())


def images(count: int) -> Any:
    shape = (count, 1, tiny_version.SIZE_PX, tiny_version.SIZE_PX)
    return np.random.default_rng(7).uniform(-1, 1, shape).astype(np.float32)


IDS_OF_PHRASES = np.array([[2, 4, 6, 3], [2, 5, 3, 0], [2, 7, 3, 0]], dtype=np.int64)


def everything(backend: Backend, count: int) -> dict[str, Any]:
    """Return the outputs of every call for some images and three phrases."""
    image, mask = images(count), (IDS_OF_PHRASES != 0).astype(np.int64)
    phrases = backend.text(IDS_OF_PHRASES, mask)
    features = backend.trunk(image) | {"phrase_features": phrases}
    inferred = backend.infer(image, tiny_version.HEADS, phrases)
    found = {"phrases": phrases}
    found |= {f"trunk.{name}": value for name, value in features.items()}
    found["vectors"] = inferred.features["global_features"]
    for name, head in tiny_version.HEADS.items():
        alone = backend.head(name, {item: features[item] for item in head.inputs})
        found |= {f"head.{name}.{output}": value for output, value in alone.items()}
        found |= {f"{name}.{output}": value for output, value in inferred.heads[name].items()}
    return found


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize(("protocol", "shared"), TRANSPORTS, ids=IDS)
@pytest.mark.parametrize("count", [1, 11])
def test_every_call_gives_the_outputs_of_onnx_runtime(
    triton: Triton, own: Path, protocol: str, shared: bool, count: int
) -> None:
    chosen = settings(triton, own, protocol, triton_shared_memory=shared, triton_unload=False)
    loaded = load(chosen)
    try:
        assert loaded.backend.providers == ("Triton",)
        assert_equal(everything(loaded.backend, count), everything(local(own), count))
    finally:
        loaded.backend.close()


def test_only_triton_is_remote_so_that_features_stay_there() -> None:
    assert TritonBackend.remote
    assert not OrtBackend.remote


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_threads_do_not_get_the_outputs_of_each_other(
    triton: Triton, own: Path, protocol: str
) -> None:
    chosen = settings(triton, own, protocol, triton_shared_memory=True, triton_unload=False)
    backend, reference = load(chosen).backend, local(own)
    levels = np.linspace(-1, 1, 24, dtype=np.float32)

    def ask(level: float) -> Any:
        image = np.full((1, 1, tiny_version.SIZE_PX, tiny_version.SIZE_PX), level, np.float32)
        pair = (source.infer(image, ["anatomy"]) for source in (backend, reference))
        return [outputs.heads["anatomy"]["logits"] for outputs in pair]

    with ThreadPoolExecutor(6) as threads:
        for found, expected in threads.map(ask, levels):
            np.testing.assert_allclose(found, expected, atol=TOLERANCE)
    backend.close()


def test_request_ids_are_in_the_log_of_triton(triton: Triton, own: Path) -> None:
    loaded = load(settings(triton, own, triton_unload=False))
    with on_behalf_of("first-request", "second-request"):
        loaded.backend.infer(images(2), ["findings"])
    triton.wait_for("request id: first-request,second-request, model: tiny-v1, ")
    loaded.backend.close()


def test_regions_are_registered_once_reused_and_unregistered_at_the_end(
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
    """Change a version so that its findings are less certain."""
    path = stage / "heads" / "findings.onnx"
    path.write_bytes(tiny_version.less_sure(path.read_bytes()))
    np.savez(stage / "golden.npz", **tiny_version.golden(stage))  # type: ignore[arg-type] # numpy's stub


def ready_models(triton: Triton) -> set[tuple[str, str]]:
    """Return the models and versions that Triton reports as ready."""
    with tritonclient.grpc.InferenceServerClient(triton.url()) as client:
        index = client.get_model_repository_index().models
        return {(item.name, item.version) for item in index if item.state == "READY"}


def test_versions_load_and_unload_while_another_one_is_in_use(triton: Triton, own: Path) -> None:
    build = backend_factory(settings(triton, own))
    repository = Repository(own)

    def open_version(number: int) -> Backend:
        return build(repository.folder("tiny", number), repository.load_manifest("tiny", number))

    first = open_version(1)
    number = tiny_version.publish(own, alias="canary", change=with_other_findings)
    ended, failures, answered = threading.Event(), [], 0
    expected = local(own).infer(images(1), ["findings"]).heads["findings"]["logits"]

    def ask() -> None:
        nonlocal answered
        while not ended.is_set():
            try:
                found = first.infer(images(1), ["findings"]).heads["findings"]["logits"]
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
    assert (f"tiny-v{number}", str(number)) not in ready_models(triton)
    assert ("tiny-v1", "1") in ready_models(triton)
    first.close()
    assert not {name for name, _ in ready_models(triton)} & {"tiny-v1", "tiny-trunk", "tiny-text"}


def test_a_closed_version_is_unloaded(triton: Triton, own: Path) -> None:
    loaded = load(settings(triton, own))
    loaded.backend.close()
    with tritonclient.grpc.InferenceServerClient(triton.url()) as client:
        assert not client.is_model_ready("tiny-trunk", "1")


def alter(triton: Triton) -> Path:
    """Replace the graph of the findings in Triton's repository."""
    path = triton.repository / "tiny-findings" / "1" / "model.onnx"
    path.write_bytes(tiny_version.less_sure(path.read_bytes()))
    return path


def test_a_version_that_triton_computes_differently_is_refused(triton: Triton, own: Path) -> None:
    repository_view.render(Repository(own), triton.repository)
    path = alter(triton)
    with pytest.raises(InvalidVersion, match=r"`findings\.logits` differs by 3"):
        load(settings(triton, own, triton_view=None))
    assert ("tiny-v1", "1") not in ready_models(triton)
    path.write_bytes(b"no graph")
    with pytest.raises(InvalidVersion, match="Triton cannot load tiny-v1"):
        load(settings(triton, own, triton_view=None))


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_model_that_triton_lacks_is_not_ready(triton: Triton, own: Path, protocol: str) -> None:
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
