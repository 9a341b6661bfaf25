"""choice: the runtime that the settings ask for; the others are not imported."""

from collections.abc import Callable
from pathlib import Path

from radiograph.manifest import ModelManifest
from service.backends.base import Backend
from service.settings import Settings


def factory(settings: Settings) -> Callable[[Path, ModelManifest], Backend]:
    """What builds the backend of a verified folder.

    Raises:
        ProviderUnavailable: the hardware that the settings ask for does not compute.
        InvalidSettings: the settings for Triton do not fit together.
    """
    if settings.runtime.backend == "triton":
        from service.backends.triton import client

        return client.factory(settings)
    from service.backends import ort

    return ort.factory(settings)
