"""Opening: one version's folder becomes something that answers, or an error says why not.

verify digests -> build backend -> replay golden outputs -> measure batches -> Analysis
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from radiograph.dicom import Limits as ImageLimits
from radiograph.manifest import ModelManifest
from radiograph.repository import Repository
from service import golden
from service.analysis import Analysis, Limits
from service.backends.base import Backend
from service.batching import Engine
from service.results import ModelIdentity
from service.settings import Settings

BackendFactory = Callable[[Path, ModelManifest], Backend]


@dataclass(frozen=True)
class LoadedVersion:
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
    engine: Engine | None = None,
) -> LoadedVersion:
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
    return LoadedVersion(analysis, backend)


def limits_of(settings: Settings) -> Limits:
    """How much one request may ask for, by the settings."""
    return Limits(
        image=ImageLimits(max_bytes=settings.max_body_bytes, max_pixels=settings.max_pixels),
        max_phrases=settings.max_phrases,
        max_phrase_chars=settings.max_phrase_chars,
        phrase_cache=settings.phrase_cache,
    )
