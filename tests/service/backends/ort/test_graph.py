"""Graphs are shared by digest, and give the same outputs alone, beside others and on a device."""

from pathlib import Path

import numpy as np
import pytest

from radiograph.errors import InvalidVersion
from radiograph.repository.repository import Repository
from service.backends.base import on_behalf_of
from service.backends.ort.backend import OrtBackend
from service.backends.ort.graph import DeviceArray, Graph, RunCounter
from tests.builders.models.versions import tiny_version
from tests.builders.service.backends.ort_graphs import graph_cache


def test_a_run_knows_whether_others_run_beside_it() -> None:
    runs = RunCounter()
    with runs.run() as first, runs.run() as second:
        assert (first, second) == (False, True)
    with runs.run() as beside:
        assert not beside


def test_a_run_knows_whether_other_requests_are_in_progress() -> None:
    runs = RunCounter()
    with on_behalf_of("one", alone=False), runs.run() as beside:
        assert beside
    with on_behalf_of("one"), runs.run() as beside:
        assert not beside


def test_a_graph_gives_the_same_outputs_alone_and_beside_others(tiny_models: Path) -> None:
    repository = Repository(tiny_models)
    graphs = graph_cache(threads=2, concurrent=True)
    folder, manifest = repository.folder("tiny", 1), repository.load_manifest("tiny", 1)
    backend = OrtBackend(folder, manifest, graphs)
    image = np.random.default_rng(0).normal(0, 0.5, (3, 1, 64, 64)).astype(np.float32)
    alone = backend.infer(image, ["anatomy"])
    with graphs.runs.run():
        beside = backend.infer(image, ["anatomy"])
    assert np.allclose(alone.heads["anatomy"]["logits"], beside.heads["anatomy"]["logits"])
    backend.close()


def test_versions_share_graphs_of_equal_digest(tmp_path: Path) -> None:
    tiny_version.publish(tmp_path, alias="stable")
    tiny_version.publish(tmp_path, alias="canary")
    graphs = graph_cache()
    folders = [Repository(tmp_path).folder("tiny", version) for version in (1, 2)]
    manifest = Repository(tmp_path).load_manifest("tiny", 1)
    first, second = (OrtBackend(folder, manifest, graphs) for folder in folders)
    file, digest = manifest.trunk.file, manifest.files[manifest.trunk.file]
    shared = graphs.open_trunk(folders[0] / file, digest)
    first.close()
    assert graphs.open_trunk(folders[1] / file, digest) is shared
    second.close()


def test_a_device_array_is_fetched_once() -> None:
    class Value:
        fetches = 0

        def numpy(self) -> np.ndarray:
            self.fetches += 1
            return np.arange(6.0).reshape(3, 2)

    value = Value()
    array = DeviceArray(value)
    assert value.fetches == 0
    np.testing.assert_array_equal(array[[2, 0]], [[4, 5], [0, 1]])
    assert np.asarray(array).shape == (3, 2)
    assert value.fetches == 1


def test_a_file_that_is_no_graph_is_named(tmp_path: Path) -> None:
    path = tmp_path / "findings.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(InvalidVersion, match=r"findings\.onnx: not a usable graph"):
        Graph(path, graph_cache().options, RunCounter())
