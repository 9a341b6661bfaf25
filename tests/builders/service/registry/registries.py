"""Registries of a repository of the tiny model, built as the service builds them."""

from pathlib import Path

from radiograph.repository.repository import Repository
from service.backends.base import BackendFactory
from service.backends.factory import backend_factory
from service.observability.observer import NULL_OBSERVER, Observer
from service.registry.loading.loader import VersionLoader
from service.registry.registry import ModelRegistry
from service.registry.state import State
from service.settings import Settings


def load(
    root: Path,
    observer: Observer | None = None,
    backends: BackendFactory | None = None,
    **changes: object,
) -> ModelRegistry:
    """Build a registry and load every version that an alias points to."""
    settings = Settings.of(models_dir=root, default_model="tiny", threads=1).changed(**changes)
    loader = VersionLoader(Repository(root), backends or backend_factory(settings), settings.limits)
    registry = ModelRegistry(settings.models, loader, observer or NULL_OBSERVER)
    registry.load()
    return registry


def states(registry: ModelRegistry) -> dict[int, State]:
    """Return the state of every version of the table, by number."""
    return {status.version: status.state for status in registry.lookup.versions()}
