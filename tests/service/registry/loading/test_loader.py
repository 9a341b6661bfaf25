"""A version is loaded only if everything in it is sound; otherwise the error gives the reason."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radiograph.errors import InvalidVersion, ModelNotFound
from radiograph.manifest import ModelManifest
from radiograph.repository.repository import Repository
from service.backends.base import FloatArray
from service.backends.ort.backend import OrtBackend
from service.registry.loading.loader import VersionLoader
from service.scheduling.dynamic_batching import DynamicBatcher
from service.settings import BatchingSettings, LimitSettings
from tests.builders.models.faults import faulty_versions
from tests.builders.models.versions import tiny_version
from tests.builders.service.backends.ort_graphs import graph_cache


class ClosingBackend(OrtBackend):
    """Records batches, releases of memory, and whether it was closed."""

    closed = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.calls: list[int | str] = []

    def trunk(
        self, image: FloatArray, requested: Collection[str] | None = None
    ) -> dict[str, FloatArray]:
        self.calls.append(len(image))
        return super().trunk(image, requested)

    def release_memory(self) -> None:
        self.calls.append("released")
        super().release_memory()

    def close(self) -> None:
        self.closed = True
        super().close()


class Backends:
    """Builds backends and keeps them."""

    def __init__(self) -> None:
        self.built: list[ClosingBackend] = []

    def __call__(self, folder: Path, manifest: ModelManifest) -> ClosingBackend:
        self.built.append(ClosingBackend(folder, manifest, graph_cache()))
        return self.built[-1]


@pytest.fixture
def backends() -> Backends:
    return Backends()


def loader_of(root: Path, backends: Backends) -> VersionLoader:
    return VersionLoader(Repository(root), backends, LimitSettings())


def test_a_sound_version_is_loaded_with_its_identity(tiny_models: Path, backends: Backends) -> None:
    opened = loader_of(tiny_models, backends).load("tiny", 1)
    digest = Repository(tiny_models).digest("tiny", 1)
    assert str(opened.analysis.identity) == "tiny/1"
    assert opened.analysis.identity.digest == digest
    assert opened.providers == ("CPUExecutionProvider",)
    opened.close()
    assert backends.built[0].closed


class HeldRepository(Repository):
    """Records which versions are held."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.held: list[int] = []

    @contextmanager
    def hold(self, name: str, version: int) -> Iterator[None]:
        self.held.append(version)
        try:
            yield
        finally:
            self.held.remove(version)


def test_the_folder_of_a_version_is_held_while_it_is_loaded(
    tiny_models: Path, tmp_path: Path, backends: Backends
) -> None:
    repository = HeldRepository(tiny_models)
    opened = VersionLoader(repository, backends, LimitSettings()).load("tiny", 1)
    assert repository.held == [1]
    opened.close()
    assert repository.held == []
    tiny_version.publish(tmp_path, change=faulty_versions.break_graph)
    faulty = HeldRepository(tmp_path)
    with pytest.raises(InvalidVersion):
        VersionLoader(faulty, backends, LimitSettings()).load("tiny", 1)
    assert faulty.held == []


def test_the_memory_of_the_batches_that_were_measured_is_released(
    tiny_models: Path, backends: Backends
) -> None:
    batcher = DynamicBatcher(BatchingSettings(workers=1, max_batch="auto"))
    loader = VersionLoader(Repository(tiny_models), backends, LimitSettings(), batcher)
    loader.load("tiny", 1).close()
    batcher.close()
    (backend,) = backends.built
    assert 2 in backend.calls
    assert backend.calls.index("released") == len(backend.calls) - 1


FAULTS = {
    "differs": (faulty_versions.shift_golden, "`findings.logits` differs by 0.01"),
    "missing output": (faulty_versions.drop_golden, "`boxes.distances` is missing"),
    "not a number": (faulty_versions.nan_golden, "`trunk.global_features` differs by nan"),
    "another graph": (
        faulty_versions.swap_heads,
        r"reads \['global_features'\], not \['decoder_4'\]",
    ),
    "no graph": (faulty_versions.break_graph, "not a usable graph"),
    "no tokenizer": (faulty_versions.break_tokenizer, "not a tokenizer"),
    "statistics that do not fit": (faulty_versions.break_statistics, "does not fit"),
    "a pickle": (faulty_versions.pickle_statistics, "not an archive of arrays"),
}


@pytest.mark.parametrize(("change", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_version_at_fault_is_refused_and_its_backend_closed(
    tmp_path: Path, backends: Backends, change: tiny_version.Change, reason: str
) -> None:
    tiny_version.publish(tmp_path, change=change)
    with pytest.raises(InvalidVersion, match=reason):
        loader_of(tmp_path, backends).load("tiny", 1)
    assert all(backend.closed for backend in backends.built)


@pytest.mark.parametrize("damage", faulty_versions.DAMAGES.values(), ids=faulty_versions.DAMAGES)
def test_a_version_that_is_damaged_after_publishing_is_refused(
    tmp_path: Path, backends: Backends, damage: faulty_versions.Damage
) -> None:
    tiny_version.publish(tmp_path)
    damage(tmp_path, 1)
    with pytest.raises((InvalidVersion, ModelNotFound)):
        loader_of(tmp_path, backends).load("tiny", 1)
    assert all(backend.closed for backend in backends.built)


def test_the_golden_outputs_are_checked_with_the_tolerance_of_the_manifest(
    tmp_path: Path, backends: Backends
) -> None:
    def shift_a_little(stage: Path) -> None:
        with np.load(stage / "golden.npz") as archive:
            arrays = dict(archive)
        arrays["findings.logits"] += 1e-5
        np.savez(stage / "golden.npz", **arrays)

    tiny_version.publish(tmp_path, change=shift_a_little)
    loader_of(tmp_path, backends).load("tiny", 1).close()
