"""The versions of a repository, loaded as the service loads them."""

from pathlib import Path

from service.backends import ort
from service.observability.observer import NULL_OBSERVER, Observer
from service.registry.loader import BackendFactory
from service.registry.registry import ModelRegistry
from service.settings import Settings


def load(
    root: Path,
    observer: Observer | None = None,
    backends: BackendFactory | None = None,
    **changes: object,
) -> ModelRegistry:
    settings = Settings.of(models_dir=root, default_model="tiny", threads=1).changed(**changes)
    models = ModelRegistry(
        settings, backends or ort.factory(settings), observer=observer or NULL_OBSERVER
    )
    models.load()
    return models
