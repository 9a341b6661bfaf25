"""Versions without graphs: a registry of them loads in no time, and as the test says."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from radiograph.manifest import ModelManifest
from radiograph.repository.repository import Repository
from service.backends.base import Backend
from service.inference.analysis import Analysis
from service.inference.results import ModelIdentity
from service.observability.observer import NULL_OBSERVER, Observer
from service.registry.loading.loader import OpenVersion, VersionLoader
from service.registry.registry import ModelRegistry
from service.registry.state import LoadedVersion
from service.settings import LimitSettings, Settings
from tests.builders.models.versions import small_version


def publish(root: Path, alias: str | None = None) -> int:
    """Publish one more version of the small model."""
    stage = root / ".stage"
    if not stage.exists():
        small_version.write_stage(stage)
    return Repository(root).publish(
        small_version.NAME, stage, small_version.manifest_of(stage), alias
    )


def fake_analysis(version: int, close: Callable[[], None] = lambda: None) -> Analysis:
    """Return an object with the identity of an analysis."""
    identity = ModelIdentity(small_version.NAME, version, "0" * 64)
    return cast("Analysis", SimpleNamespace(identity=identity, close=close))


def fake_version(version: int, close: Callable[[], None] = lambda: None) -> OpenVersion:
    """Return an open version that answers nothing."""
    backend = cast("Backend", SimpleNamespace(providers=("Fake",)))
    return OpenVersion(fake_analysis(version, close), backend)


def fake_loaded(version: int, freed: list[int] | None = None) -> LoadedVersion:
    """Return a loaded version that records when it is freed."""
    record = [] if freed is None else freed
    return LoadedVersion(fake_analysis(version), ("Fake",), 0.5, lambda: record.append(version))


def _no_backend(folder: Path, manifest: ModelManifest) -> Backend:
    raise AssertionError("no backend is built for a fake version")


@dataclass(frozen=True, eq=False)
class FakeLoader(VersionLoader):
    """Loads fake versions of a repository.

    Attributes:
        on_load: called with the number of a version while that loads; it may block or raise.
    """

    on_load: Callable[[int], None] = lambda version: None

    def load(self, name: str, version: int) -> OpenVersion:
        self.repository.folder(name, version)
        self.on_load(version)
        return fake_version(version)


def registry_of(
    root: Path,
    on_load: Callable[[int], None] = lambda version: None,
    observer: Observer = NULL_OBSERVER,
    **changes: object,
) -> ModelRegistry:
    """Build a registry of the small model, and load what its aliases point to."""
    settings = Settings.of(models_dir=root, default_model=small_version.NAME).changed(**changes)
    loader = FakeLoader(Repository(root), _no_backend, LimitSettings(), on_load=on_load)
    registry = ModelRegistry(settings.models, loader, observer)
    registry.load()
    return registry
