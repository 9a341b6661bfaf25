"""Registries of a repository of the tiny model, built as the service builds them."""

from pathlib import Path

from radiograph.repository.repository import Repository
from service.backends.base import BackendFactory
from service.backends.factory import backend_factory
from service.observability.observer import NULL_OBSERVER, Observer
from service.registry.loader import VersionLoader
from service.registry.registry import ModelRegistry
from service.settings import Settings


def build(
    root: Path,
    observer: Observer | None = None,
    backends: BackendFactory | None = None,
    **changes: object,
) -> ModelRegistry:
    """Build a registry that has loaded nothing yet."""
    settings = Settings.of(models_dir=root, default_model="tiny", threads=1).changed(**changes)
    loader = VersionLoader(Repository(root), backends or backend_factory(settings), settings.limits)
    return ModelRegistry(settings.models, loader, observer or NULL_OBSERVER)


def load(
    root: Path,
    observer: Observer | None = None,
    backends: BackendFactory | None = None,
    **changes: object,
) -> ModelRegistry:
    """Build a registry and load every version that an alias points to."""
    registry = build(root, observer, backends, **changes)
    registry.load()
    return registry
