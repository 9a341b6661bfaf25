"""Factory of backends: imports the runtime that the settings choose, and no other."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from service.backends.base import BackendFactory
from service.errors import InvalidSettings
from service.model_repository import open_repository
from service.settings import Settings

if TYPE_CHECKING:
    from service.backends.triton.server import Render


def backend_factory(settings: Settings) -> BackendFactory:
    """Return the factory of backends that the settings choose.

    Raises:
        ProviderUnavailable: the requested hardware does not compute.
        InvalidSettings: the settings for Triton contradict each other.
    """
    return _triton(settings) if settings.runtime.backend == "triton" else _ort(settings)


def _ort(settings: Settings) -> BackendFactory:
    """Return a factory whose backends share graphs of equal digest."""
    from service.backends.ort.backend import OrtBackend
    from service.backends.ort.graph import GraphCache
    from service.backends.ort.session import OrtOptions

    graphs = GraphCache(OrtOptions.of(settings))
    return lambda folder, manifest: OrtBackend(folder, manifest, graphs)


def _triton(settings: Settings) -> BackendFactory:
    """Return a factory whose backends share one Triton; it connects when the first is built."""
    from service.backends.triton.backend import TritonBackend
    from service.backends.triton.client import TritonClient
    from service.backends.triton.server import TritonServer

    if settings.runtime.variant not in ("auto", "float32"):
        raise InvalidSettings(f"G2D_VARIANT={settings.runtime.variant}: Triton computes in float32")
    client = TritonClient(settings.triton)
    server = TritonServer(client, settings.triton, _renderer(settings))
    return lambda folder, manifest: TritonBackend(folder, manifest, server)


def _renderer(settings: Settings) -> "Render | None":
    """Return what keeps Triton's model repository up to date, if the service is to do so."""
    from service.backends.triton import repository_view

    if settings.triton.view is None:
        return None
    repository, out = open_repository(settings.models), settings.triton.view

    def render(name: str, versions: Collection[int]) -> None:
        repository_view.render(repository, out, name, keep=versions)

    return render
