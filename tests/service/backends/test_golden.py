"""Golden outputs are computed again exactly, and their archive is read without trust."""

from pathlib import Path

import numpy as np
import pytest

from radiograph.errors import InvalidVersion
from radiograph.repository.repository import Repository
from service.backends import golden
from service.backends.ort.backend import OrtBackend
from tests.builders.service.backends.ort_graphs import graph_cache


def test_golden_outputs_are_computed_again_exactly(tiny_models: Path) -> None:
    repository = Repository(tiny_models)
    manifest = repository.load_manifest("tiny", 1)
    folder = repository.folder("tiny", 1)
    backend = OrtBackend(folder, manifest, graph_cache())
    assert golden.replay(backend, manifest, folder) < 1e-6


def test_an_archive_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    np.savez(path, a=np.zeros(100))
    path.write_bytes(path.read_bytes()[:80])
    with pytest.raises(InvalidVersion, match="not an archive"):
        golden.read_arrays(path)


def test_a_pickle_in_an_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    np.savez(path, a=np.array([object()], dtype=object))
    with pytest.raises(InvalidVersion, match="not an archive of arrays"):
        golden.read_arrays(path)
