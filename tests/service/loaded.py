"""The versions of a repository, loaded as the service loads them."""

from pathlib import Path

from service.backends import ort
from service.events import NOBODY, Observer
from service.loading import Models
from service.opening import BackendFactory
from service.settings import Settings


def load(
    root: Path,
    observer: Observer | None = None,
    backends: BackendFactory | None = None,
    **changes: object,
) -> Models:
    settings = Settings(models_dir=root, default_model="tiny", threads=1).changed(**changes)
    models = Models(settings, backends or ort.factory(settings), observer=observer or NOBODY)
    models.load()
    return models
