"""A version answers only when everything in it holds; the others fail and say why."""

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest

from radiograph.errors import ModelNotFound
from radiograph.manifest import ModelManifest
from service.backends.ort.backend import OrtBackend
from service.errors import NotReady
from service.registry.state import State
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
