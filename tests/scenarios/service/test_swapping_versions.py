"""A version is swapped for another while requests run: none fails, none is half of each."""

import asyncio
import gc
import hashlib
import itertools
import json
import os
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import numpy as np
import onnxruntime
import pytest

from radiograph.errors import ModelNotFound
from radiograph.manifest import ModelManifest
from radiograph.repository.head_publishing import NewHead, publish_head
from radiograph.repository.repository import Repository
from service.backends.base import Backend, BackendFactory, FloatArray
from service.backends.factory import backend_factory
from service.backends.ort.backend import OrtBackend
from service.backends.ort.graph import Graph, GraphCache, RunCounter
from service.backends.ort.session import OrtOptions
from service.observability.observer import NullObserver
from service.registry.poller import RepositoryPoller
from service.registry.registry import ModelRegistry
from service.registry.state import State
from service.settings import Settings
from tests.builders.files import sample_files
from tests.builders.models import distinct_versions, tiny_version
from tests.builders.models.distinct_versions import answered_probability, probability, publish
from tests.builders.service.admin_calls import ADMIN, TOKEN
from tests.builders.service.loaded import load
from tests.builders.service.ort_graphs import graph_cache
from tests.fixtures.service import Start


class Listening(NullObserver):
    """Remembers what it was told of versions and aliases."""

    def __init__(self) -> None:
        self.versions: list[tuple[int, str]] = []
        self.moves: list[tuple[str, int]] = []
        self.freed = threading.Semaphore(0)
        self.moved = threading.Semaphore(0)

    def version(self, model: str, version: int, state: str) -> None:
        self.versions.append((version, str(state)))
        if state == "freed":
            self.freed.release()

    def alias(self, model: str, alias: str, version: int) -> None:
        self.moves.append((alias, version))
        self.moved.release()


class Opened:
    """Builds real backends and remembers, weakly, every session that was opened for them."""

    def __init__(self) -> None:
        self.sessions = graph_cache()
        self.backends: weakref.WeakSet[OrtBackend] = weakref.WeakSet()

    def __call__(self, folder: Path, manifest: ModelManifest) -> OrtBackend:
        backend = OrtBackend(folder, manifest, self.sessions)
        self.backends.add(backend)
        return backend

    @property
    def graphs(self) -> int:
        gc.collect()
        return len(self.sessions._graphs)


@pytest.fixture
def listening() -> Listening:
    return Listening()


@pytest.fixture
def opened() -> Opened:
    return Opened()


def states(models: ModelRegistry) -> dict[int, State]:
    return {entry.version: entry.state for entry in models.lookup.versions()}


# drain and free


def test_a_moved_alias_is_taken_up_and_the_version_before_is_kept(
    root: Path, listening: Listening
) -> None:
    models = load(root, listening)
    Repository(root).set_alias("tiny", "stable", 2)
    models.refresh()
    assert models.lookup.ready().identity.version == 2
    assert states(models) == {2: State.READY, 1: State.RETIRED}
    assert listening.moves == [("stable", 1), ("stable", 2)]
    assert listening.versions == [
        (1, "loading"),
        (1, "ready"),
        (2, "loading"),
        (1, "retired"),
        (2, "ready"),
    ]


def test_a_request_keeps_the_version_that_it_holds_and_the_last_one_frees_it(
    root: Path, listening: Listening, opened: Opened
) -> None:
    models = load(root, listening, opened, keep_retired=0)
    with models.lookup.lease() as first, models.lookup.lease() as second:
        Repository(root).set_alias("tiny", "stable", 2)
        models.refresh()
        assert first.analysis.identity.version == second.analysis.identity.version == 1
        with models.lookup.lease() as third:
            assert third.analysis.identity.version == 2
        assert (1, "freed") not in listening.versions
        assert first.analysis._backend.trunk(np.zeros((1, 1, 64, 64), np.float32))
    assert listening.freed.acquire(timeout=60)
    assert listening.versions[-1] == (1, "freed")


def test_a_retired_version_takes_no_new_requests_by_number(root: Path) -> None:
    models = load(root)
    Repository(root).set_alias("tiny", "stable", 2)
    models.refresh()
    with (
        pytest.raises(ModelNotFound, match=r"served: tiny/2 \(stable\)"),
        models.lookup.lease("tiny", "1"),
    ):
        pass


def test_a_roll_back_to_a_kept_version_loads_nothing(root: Path, listening: Listening) -> None:
    models = load(root, listening)
    for version in (2, 1, 2, 1):
        Repository(root).set_alias("tiny", "stable", version)
        models.refresh()
        assert models.lookup.ready().identity.version == version
    loads = [version for version, state in listening.versions if state == "loading"]
    assert loads == [1, 2]


def test_a_roll_back_does_not_wait_for_a_version_that_loads(root: Path) -> None:
    settings = Settings.of(models_dir=root, default_model="tiny", threads=1)
    real, begun, go = backend_factory(settings), threading.Event(), threading.Event()

    def build(folder: Path, manifest: ModelManifest) -> Backend:
        if manifest.version == 3:
            begun.set()
            go.wait(60)
        return real(folder, manifest)

    models = load(root, None, build)
    models.promote("tiny", "stable", 2, expected=1)
    publish(root, bias=3.0, alias="canary")
    loading = threading.Thread(target=models.refresh)
    loading.start()
    assert begun.wait(60)
    assert models.roll_back("tiny", "stable", expected=2) == 1
    assert models.lookup.ready().identity.version == 1
    go.set()
    loading.join()
    assert models.lookup.ready(reference="canary").identity.version == 3


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_each_alias_keeps_so_many_versions_it_pointed_to(tmp_path: Path, kept: int) -> None:
    for bias in (1.0, 2.0, 3.0, 4.0):
        publish(tmp_path, bias, alias=None)
    repository = Repository(tmp_path)
    repository.set_alias("tiny", "canary", 1)
    models = load(tmp_path, keep_retired=kept)
    for version in (1, 2, 3, 4):
        repository.set_alias("tiny", "stable", version)
        models.refresh()
    resident = [number for number, state in states(models).items() if state is not State.FAILED]
    assert sorted(resident) == sorted({1, 4, *[3, 2][:kept]})


def test_a_hundred_swaps_leave_no_session_behind(root: Path, listening: Listening) -> None:
    opened = Opened()
    models = load(root, listening, opened, keep_retired=0)
    before = opened.graphs
    for version in itertools.islice(itertools.cycle([2, 1]), 100):
        Repository(root).set_alias("tiny", "stable", version)
        models.refresh()
        assert listening.freed.acquire(timeout=60)
    assert opened.graphs == before
    assert len(opened.backends) == 1
    models.close()
    assert (opened.graphs, len(opened.backends)) == (0, 0)


def test_failed_versions_leave_no_session_behind(root: Path, opened: Opened) -> None:
    models = load(root, None, opened)
    before = opened.graphs
    for _ in range(10):
        number = publish(root, bias=3.0)
        (root / f"tiny/{number}/golden.npz").write_bytes(b"damaged")
        models.refresh()
    assert opened.graphs == before


def test_versions_that_differ_in_a_head_share_the_loaded_trunk(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []
    real = Graph.__init__

    def count(self: Graph, model: Path | bytes, options: OrtOptions, runs: RunCounter) -> None:
        built.append(model.name if isinstance(model, Path) else "stage")
        real(self, model, options, runs)

    monkeypatch.setattr(Graph, "__init__", count)
    models = load(root)
    assert built.count("stage") == 4
    built.clear()
    Repository(root).set_alias("tiny", "stable", 2)
    models.refresh()
    assert built == ["findings.onnx"]


def test_a_head_published_onto_the_served_version_answers_and_loads_alone(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = load(root)
    folder = tmp_path / "head"
    (folder / "heads").mkdir(parents=True)
    shutil.copy(root / "tiny/1/heads/findings.onnx", folder / "heads")
    distinct_versions.write_findings(folder / "heads/findings.onnx", bias=3.0)
    session = onnxruntime.InferenceSession(folder / "heads/findings.onnx")
    with np.load(root / "tiny/1/golden.npz") as archive:
        features = archive["trunk.global_features"]
    (logits,) = session.run(["logits"], {"global_features": features})
    np.savez(folder / "golden.npz", **{"findings.logits": logits})
    head = NewHead("findings", tiny_version.HEADS["findings"], folder)
    built: list[str] = []
    real = Graph.__init__

    def count(self: Graph, model: Path | bytes, options: OrtOptions, runs: RunCounter) -> None:
        built.append(model.name if isinstance(model, Path) else "stage")
        real(self, model, options, runs)

    monkeypatch.setattr(Graph, "__init__", count)
    assert publish_head(Repository(root), "tiny", head, alias="stable") == 3
    models.refresh()
    assert models.lookup.ready().identity.version == 3
    assert built == ["findings.onnx"]


def test_closing_frees_what_is_held_when_it_is_let_go(
    root: Path, listening: Listening, opened: Opened
) -> None:
    models = load(root, listening, opened)
    with models.lookup.lease():
        models.close()
        assert (1, "freed") not in listening.versions
        with pytest.raises(ModelNotFound), models.lookup.lease():
            pass
    assert listening.versions[-1] == (1, "freed")


# versions that are at fault


def damage(root: Path, version: int) -> None:
    with (root / f"tiny/{version}/heads/findings.onnx").open("ab") as file:
        file.write(b"\0")


def vanish(root: Path, version: int) -> None:
    shutil.rmtree(root / f"tiny/{version}")


def half_write(root: Path, version: int) -> None:
    (root / f"tiny/{version}/trunk.onnx").unlink()


def other_outputs(root: Path, version: int) -> None:
    """Sound files, but other golden outputs: as if another machine computed otherwise."""
    folder = root / f"tiny/{version}"
    with np.load(folder / "golden.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays["findings.logits"] = arrays["findings.logits"][:, :1]
    np.savez(folder / "golden.npz", **arrays)
    manifest = json.loads((folder / "manifest.json").read_text())
    digest = hashlib.sha256((folder / "golden.npz").read_bytes()).hexdigest()
    manifest["files"]["golden.npz"] = digest
    (folder / "manifest.json").write_text(json.dumps(manifest))


def truncate_manifest(root: Path, version: int) -> None:
    os.truncate(root / f"tiny/{version}/manifest.json", 100)


def link(root: Path, version: int) -> None:
    (root / f"tiny/{version}/extra").symlink_to("/etc/passwd")


BROKEN = {
    "damaged": damage,
    "vanished": vanish,
    "half written": half_write,
    "wrong shape": other_outputs,
    "half a manifest": truncate_manifest,
    "a link": link,
}


@pytest.mark.parametrize("break_it", BROKEN.values(), ids=BROKEN)
def test_a_broken_version_is_reported_and_the_old_one_serves_on(
    root: Path,
    listening: Listening,
    break_it: Callable[[Path, int], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    models = load(root, listening)
    Repository(root).set_alias("tiny", "stable", 2)
    break_it(root, 2)
    models.refresh()
    assert models.lookup.default_is_ready()
    assert models.lookup.ready().identity.version == 1
    entries = {entry.version: entry for entry in models.lookup.versions()}
    assert (entries[1].state, entries[1].aliases) == (State.READY, ("stable",))
    assert (entries[2].state, entries[2].aliases) == (State.FAILED, ())
    assert entries[2].wanted_by == ("stable",)
    assert entries[2].reason
    assert listening.versions[-1] == (2, "failed")
    assert "tiny/2 failed to load" in caplog.text


def test_a_broken_version_is_tried_again_only_when_something_changed(
    root: Path, listening: Listening
) -> None:
    models = load(root, listening)
    whole = (root / "tiny/2/heads/findings.onnx").read_bytes()
    damage(root, 2)
    Repository(root).set_alias("tiny", "stable", 2)
    for _ in range(3):
        models.refresh()
    assert listening.versions.count((2, "loading")) == 1
    (root / "tiny/2/heads/findings.onnx").write_bytes(whole)
    models.refresh()
    assert models.lookup.ready().identity.version == 2
    assert listening.versions.count((2, "loading")) == 2


def test_a_served_version_that_is_damaged_later_is_reported_and_serves_on(root: Path) -> None:
    models = load(root)
    damage(root, 1)
    models.refresh()
    (entry,) = models.lookup.versions()
    assert entry.state is State.READY
    assert "heads/findings.onnx" in str(entry.reason)


def test_a_served_version_whose_folder_vanishes_is_reported_and_serves_on(root: Path) -> None:
    models = load(root)
    (root / "tiny/1").rename(root / "moved")
    models.refresh()
    assert models.lookup.ready().identity.version == 1
    assert "gone" in str(models.lookup.find().reason)
    (root / "moved").rename(root / "tiny/1")
    models.refresh()
    assert models.lookup.find().reason is None


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b'{"aliases": {"stable": []}}', None])
def test_aliases_that_cannot_be_read_change_nothing(
    root: Path, text: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    models = load(root)
    if text is None:
        (root / "tiny/aliases.json").unlink()
    else:
        (root / "tiny/aliases.json").write_bytes(text)
    for _ in range(3):
        models.refresh()
    assert models.lookup.ready().identity.version == 1
    assert "aliases" in models.lookup.faults()["tiny"]
    assert caplog.text.count("the aliases of tiny") == 1


def test_a_models_directory_that_vanishes_changes_nothing(root: Path) -> None:
    models = load(root)
    (root / "tiny").rename(root / ".away")
    models.refresh()
    assert models.lookup.ready().identity.version == 1
    (root / ".away").rename(root / "tiny")
    Repository(root).set_alias("tiny", "stable", 2)
    models.refresh()
    assert (models.lookup.ready().identity.version, models.lookup.faults()) == (2, {})


def test_an_alias_that_is_taken_away_is_no_longer_answered(root: Path) -> None:
    Repository(root).set_alias("tiny", "canary", 2)
    models = load(root)
    history = json.loads((root / "tiny/aliases.json").read_text())
    del history["aliases"]["canary"]
    (root / "tiny/aliases.json").write_text(json.dumps(history))
    models.refresh()
    with pytest.raises(ModelNotFound):
        models.lookup.ready(reference="canary")


def test_of_changes_in_quick_succession_the_last_one_is_served(root: Path) -> None:
    publish(root, bias=3.0, alias=None)
    settings = Settings.of(models_dir=root, default_model="tiny", threads=1)
    real = backend_factory(settings)

    def build(folder: Path, manifest: ModelManifest) -> Backend:
        if manifest.version == 2:  # while it loads, the alias moves on
            Repository(root).set_alias("tiny", "stable", 3)
        return real(folder, manifest)

    models = load(root, None, build)
    Repository(root).set_alias("tiny", "stable", 2)
    models.refresh()
    assert models.lookup.ready().identity.version == 3
    assert states(models) == {3: State.READY, 1: State.RETIRED}


def test_a_new_model_is_taken_up(root: Path) -> None:
    models = load(root)
    publish(root, bias=4.0, name="other")
    models.refresh()
    assert models.lookup.ready("other").identity.version == 1
    assert models.lookup.ready().identity.name == "tiny"


def test_an_unready_service_becomes_ready_with_the_first_sound_version(tmp_path: Path) -> None:
    models = load(tmp_path)
    assert not models.lookup.default_is_ready()
    publish(tmp_path, bias=1.0)
    models.refresh()
    assert models.lookup.default_is_ready()


# watching


def test_a_watcher_looks_again_after_a_look_that_failed() -> None:
    looks = threading.Semaphore(0)

    def look() -> None:
        looks.release()
        raise OSError("gone")

    watcher = RepositoryPoller(look, interval_s=0.001)
    watcher.start()
    assert all(looks.acquire(timeout=60) for _ in range(3))
    watcher.stop()


def test_a_watcher_without_an_interval_never_looks() -> None:
    watcher = RepositoryPoller(lambda: pytest.fail("looked"), interval_s=0)
    watcher.start()
    watcher.stop()


async def test_a_running_service_takes_up_what_is_published(
    start: Start, root: Path, listening: Listening
) -> None:
    async with start(observer=listening, models_dir=root, watch_interval_s=0.01) as (_, client):
        assert listening.moved.acquire(timeout=60)
        publish(root, bias=3.0)
        assert await asyncio.to_thread(listening.moved.acquire, timeout=60)
        assert (await client.get("/health/ready")).status_code == 200
        assert await serving(client) == 3


# under load


class Gate(threading.Event):
    """Holds a request of version 1 before its head runs; `reached` once it is there."""

    def __init__(self) -> None:
        super().__init__()
        self.set()
        self.reached = threading.Event()

    def backend(self, sessions: GraphCache) -> BackendFactory:
        gate = self

        class Held(OrtBackend):
            def head(self, name: str, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
                if not gate.is_set():
                    gate.reached.set()
                gate.wait(60)
                return super().head(name, inputs)

        def build(folder: Path, manifest: ModelManifest) -> Backend:
            held = Held if manifest.version == 1 else OrtBackend
            return held(folder, manifest, sessions)

        return build


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.set()


async def test_an_answer_is_of_the_version_that_it_names_when_a_swap_comes_in_between(
    start: Start, root: Path, gate: Gate
) -> None:
    black = sample_files.png_file(np.zeros((64, 64), np.uint16))
    backends = gate.backend(graph_cache())
    async with start(backends, models_dir=root, keep_retired=0) as (app, client):
        gate.clear()
        before = asyncio.create_task(classify(client, black))
        assert await asyncio.to_thread(gate.reached.wait, 60)
        Repository(root).set_alias("tiny", "stable", 2)
        await asyncio.to_thread(app.state.components.registry.refresh)
        after = await classify(client, black)
        gate.set()
        assert (await before, after) == (1, 2)


async def classify(client: httpx.AsyncClient, image: bytes, query: str = "") -> int:
    """The version that answered, its content being held against its number."""
    response = await client.post(
        f"/v1/classify{query}", content=image, headers={"content-type": "image/png"}
    )
    assert response.status_code == 200, response.text
    body = response.json()
    version: int = body["model"]["version"]
    assert response.headers["x-model-version"] == f"tiny/{version}"
    assert answered_probability(body) == pytest.approx(probability(float(version)), abs=1e-5)
    return version


async def test_a_hundred_swaps_under_load_fail_no_request_and_mix_no_answer(
    start: Start, root: Path, listening: Listening
) -> None:
    black = sample_files.png_file(np.zeros((64, 64), np.uint16))
    settings = {"models_dir": root, "admin_token": TOKEN, "keep_retired": 0}
    async with start(observer=listening, watch_interval_s=0.01, **settings) as (_, client):
        assert listening.moved.acquire(timeout=60)
        ended = asyncio.Event()

        async def ask() -> list[int]:
            answered = []
            while not ended.is_set():
                answered.append(await classify(client, black))
            return answered

        clients = [asyncio.create_task(ask()) for _ in range(4)]
        try:
            for swap in range(100):
                version = 2 - swap % 2
                if swap % 4 < 2:
                    await asyncio.to_thread(Repository(root).set_alias, "tiny", "stable", version)
                else:
                    await move(client, version)
                assert await asyncio.to_thread(listening.moved.acquire, timeout=60)
                assert await serving(client) == version
                ready = await client.get("/health/ready")
                assert ready.status_code == 200
        finally:
            ended.set()
        answers = await asyncio.gather(*clients)
    assert {version for answered in answers for version in answered} == {1, 2}


async def serving(client: httpx.AsyncClient) -> int:
    body = (await client.get("/v1/models/tiny/versions/stable")).json()
    version: int = body["version"]
    return version


async def move(client: httpx.AsyncClient, version: int) -> None:
    path = "/v1/models/tiny/aliases/stable"
    etag = (await client.get(path)).headers["etag"]
    headers = ADMIN | {"if-match": etag}
    response = await client.put(path, json={"version": version}, headers=headers)
    assert (response.status_code, response.json()["answering"]) == (200, version), response.text
