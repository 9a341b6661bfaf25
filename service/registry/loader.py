"""Opening: one version's folder becomes something that answers, or an error says why not.

verify digests -> build backend -> replay golden outputs -> measure batches -> Analysis
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from radiograph.manifest import ModelManifest
from radiograph.readers.dicom import Limits as ImageLimits
from radiograph.repository.repository import Repository
from service.backends import golden
from service.backends.base import Backend
from service.inference.analysis import Analysis
from service.inference.results import ModelIdentity
from service.inference.types import Limits
from service.scheduling.dynamic_batching import DynamicBatcher
from service.settings import Settings

BackendFactory = Callable[[Path, ModelManifest], Backend]


@dataclass(frozen=True)
class OpenVersion:
    """A version that answers, and what it runs on; `analysis.close` closes both."""

    analysis: Analysis
    backend: Backend

    @property
    def providers(self) -> tuple[str, ...]:
        """What really computes."""
        return self.backend.providers

    def close(self) -> None:
        """Free what it holds; no request runs on it any more."""
        self.analysis.close()


def load_version(
    repository: Repository,
    name: str,
    version: int,
    backends: BackendFactory,
    limits: Limits,
    engine: DynamicBatcher | None = None,
) -> OpenVersion:
    """Verify a version, build its backend, replay its golden outputs and measure its batches.

    Raises:
        ModelNotFound: no such version.
        InvalidVersion: a file, a graph or a golden output does not hold.
    """
    repository.verify(name, version)
    manifest = repository.load_manifest(name, version)
    folder = repository.folder(name, version)
    identity = ModelIdentity(name, version, repository.digest(name, version))
    backend = backends(folder, manifest)
    try:
        golden.replay(backend, manifest, folder)
        analysis = Analysis(identity, manifest, folder, backend, limits, engine)
    except BaseException:
        backend.close()
        raise
    return OpenVersion(analysis, backend)


def limits_of(settings: Settings) -> Limits:
    """How much one request may ask for, by the settings."""
    return Limits(
        image=ImageLimits(
            max_bytes=settings.limits.max_body_bytes, max_pixels=settings.limits.max_pixels
        ),
        max_phrases=settings.limits.max_phrases,
        max_phrase_chars=settings.limits.max_phrase_chars,
        phrase_cache=settings.models.phrase_cache,
    )
