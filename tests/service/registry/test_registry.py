"""A version answers only when everything in it holds; the others fail and say why."""

import logging
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from radiograph.errors import InvalidVersion, ModelNotFound
from radiograph.manifest import ModelManifest
from radiograph.repository.repository import Repository
from service.backends import golden, ort
from service.backends.ort import OrtBackend, Sessions
from service.backends.ort_options import OrtOptions
from service.errors import NotReady, ProviderUnavailable
from service.registry.state import State
from service.settings import Settings
from tests.builders.models import tiny_version
from tests.builders.service.loaded import build, load
from tests.fixtures.service import Start


def shift_golden(stage: Path) -> None:
    with np.load(stage / "golden.npz") as archive:
        arrays = dict(archive)
    arrays["findings.logits"] += 0.01
    np.savez(stage / "golden.npz", **arrays)


def drop_golden(stage: Path) -> None:
    with np.load(stage / "golden.npz") as archive:
        arrays = dict(archive)
    del arrays["boxes.distances"]
    np.savez(stage / "golden.npz", **arrays)


def nan_golden(stage: Path) -> None:
    with np.load(stage / "golden.npz") as archive:
        arrays = dict(archive)
    arrays["trunk.global_features"][:] = np.nan
    np.savez(stage / "golden.npz", **arrays)


def swap_heads(stage: Path) -> None:
    (stage / "heads/anatomy.onnx").write_bytes((stage / "heads/findings.onnx").read_bytes())


def break_graph(stage: Path) -> None:
    model = onnx.load(stage / "heads/boxes.onnx")
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, stage / "heads/boxes.onnx")


def break_tokenizer(stage: Path) -> None:
    (stage / "tokenizer.json").write_text("{}")


def break_statistics(stage: Path) -> None:
    np.savez(stage / "statistics.npz", mean=np.zeros(4), precision=np.eye(3))


def pickle_statistics(stage: Path) -> None:
    objects = np.array([{"a": 1}], dtype=object)
    np.savez(stage / "statistics.npz", mean=objects, precision=np.eye(4))


FAULTS = {
    "differs": (shift_golden, "`findings.logits` differs by 0.01"),
    "missing output": (drop_golden, "`boxes.distances` is missing"),
    "not a number": (nan_golden, "`trunk.global_features` differs by nan"),
    "another graph": (swap_heads, "reads ['global_features'], not ['decoder_4']"),
    "no graph": (break_graph, "not a usable graph"),
    "no tokenizer": (break_tokenizer, "not a tokenizer"),
    "statistics that do not fit": (break_statistics, "does not fit"),
    "a pickle": (pickle_statistics, "not an archive of arrays"),
}


@pytest.mark.parametrize(("change", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_version_at_fault_never_becomes_ready(
    tmp_path: Path, change: tiny_version.Change, reason: str
) -> None:
    tiny_version.publish(tmp_path, change=change)
    models = load(tmp_path)
    (entry,) = models.lookup.versions()
    assert (entry.state, entry.analysis) == (State.FAILED, None)
    assert reason in str(entry.reason)
    with pytest.raises(NotReady, match="tiny/1 is failed"):
        models.lookup.ready()


def test_a_file_altered_after_publishing_is_refused(tmp_path: Path) -> None:
    tiny_version.publish(tmp_path)
    with (tmp_path / "tiny/1/trunk.onnx").open("ab") as file:
        file.write(b"\0")
    (entry,) = load(tmp_path).lookup.versions()
    assert entry.state is State.FAILED


def test_a_failed_canary_leaves_the_stable_version_serving(tmp_path: Path) -> None:
    tiny_version.publish(tmp_path, alias="stable")
    tiny_version.publish(tmp_path, alias="canary", change=shift_golden)
    models = load(tmp_path)
    assert models.lookup.default_is_ready()
    assert models.lookup.ready(reference="stable").identity.version == 1
    with pytest.raises(NotReady):
        models.lookup.ready(reference="canary")


def test_only_what_an_alias_points_to_is_loaded(tmp_path: Path) -> None:
    for alias in (None, "stable", None, "canary"):
        tiny_version.publish(tmp_path, alias=alias)
    models = load(tmp_path)
    assert [(entry.version, entry.aliases) for entry in models.lookup.versions()] == [
        (2, ("stable",)),
        (4, ("canary",)),
    ]
    with pytest.raises(ModelNotFound, match=r"served: tiny/2 \(stable\); tiny/4 \(canary\)"):
        models.lookup.find("tiny", "3")


def test_the_default_model_loads_first(tmp_path: Path) -> None:
    for name in ("alpha", "tiny", "zulu"):
        tiny_version.publish(tmp_path, name=name)
    assert [entry.name for entry in load(tmp_path).lookup.versions()] == ["tiny", "alpha", "zulu"]


def test_versions_share_the_graphs_of_equal_digest(tmp_path: Path) -> None:
    tiny_version.publish(tmp_path, alias="stable")
    tiny_version.publish(tmp_path, alias="canary")
    sessions = Sessions(OrtOptions())
    folders = [Repository(tmp_path).folder("tiny", version) for version in (1, 2)]
    manifest = Repository(tmp_path).load_manifest("tiny", 1)
    first, second = (OrtBackend(folder, manifest, sessions) for folder in folders)
    file, digest = manifest.trunk.file, manifest.files[manifest.trunk.file]
    shared = sessions.open(folders[0] / file, digest)
    first.close()
    assert sessions.open(folders[1] / file, digest) is shared
    second.close()


def test_before_loading_nothing_is_ready(tiny_models: Path) -> None:
    models = build(tiny_models)
    assert not models.lookup.default_is_ready()
    with pytest.raises(NotReady, match="still loading"):
        models.lookup.find()


def test_an_empty_repository_is_said_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        models = load(tmp_path / "nowhere")
    assert models.lookup.versions() == ()
    assert "no sound version of tiny as stable" in caplog.text


def test_an_error_that_nobody_expected_fails_the_version_alone(tiny_models: Path) -> None:
    def broken(folder: Path, manifest: ModelManifest) -> OrtBackend:
        raise ZeroDivisionError("/secret/path")

    models = load(tiny_models, None, broken)
    (entry,) = models.lookup.versions()
    assert (entry.state, entry.reason) == (State.FAILED, "unexpected error, see the log")


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_is_not_there_is_an_error_at_start(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ProviderUnavailable, match="ExecutionProvider"):
        ort.factory(Settings().changed(provider=provider))


def test_a_provider_that_is_listed_but_does_not_compute_is_an_error_at_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = onnxruntime.InferenceSession

    def fall_back(model: bytes, options: object, providers: object) -> object:
        return real(model, options, providers=["CPUExecutionProvider"])

    listed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    monkeypatch.setattr(onnxruntime, "InferenceSession", fall_back)
    with pytest.raises(ProviderUnavailable, match="the session runs on"):
        ort.factory(Settings.of(provider="cuda"))


def test_golden_outputs_come_out_again_exactly(tiny_models: Path) -> None:
    repository = Repository(tiny_models)
    manifest = repository.load_manifest("tiny", 1)
    folder = repository.folder("tiny", 1)
    backend = OrtBackend(folder, manifest, Sessions(OrtOptions()))
    assert golden.replay(backend, manifest, folder) < 1e-6


def test_an_archive_that_is_cut_short_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    np.savez(path, a=np.zeros(100))
    path.write_bytes(path.read_bytes()[:80])
    with pytest.raises(InvalidVersion, match="not an archive"):
        golden.read_arrays(path)


async def test_a_service_without_a_sound_version_lives_but_is_not_ready(
    start: Start, tmp_path: Path
) -> None:
    tiny_version.publish(tmp_path, change=shift_golden)
    async with start(models_dir=tmp_path) as (_, client):
        live, ready = await client.get("/health/live"), await client.get("/health/ready")
        version = await client.get("/v1/models/tiny/versions/1")
        answer = await client.post("/segment", content=b"x")
    assert (live.status_code, ready.status_code, answer.status_code) == (200, 503, 503)
    assert ready.headers["content-type"] == "application/problem+json"
    assert version.json()["state"] == "failed"
    assert "differs" in version.json()["reason"]
