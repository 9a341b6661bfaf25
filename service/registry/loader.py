"""Loader: make a version's folder ready to answer, or raise the reason why it is not.

verify digests -> build backends -> replay golden outputs -> choose the variant
    -> measure batches -> Analysis
"""

from dataclasses import dataclass

from radiograph.manifest import Precision
from radiograph.repository.repository import Repository
from service.backends.base import Backend, BackendFactory
from service.inference.analysis import Analysis
from service.inference.results import ModelIdentity
from service.observability.observer import NULL_OBSERVER
from service.registry.variants import Choice, Variants
from service.scheduling.dynamic_batching import DynamicBatcher
from service.settings import LimitSettings


@dataclass(frozen=True)
class OpenVersion:
    """A version that answers, and the backend it runs on.

    Attributes:
        analysis: answers requests; closing it closes the backend as well.
        backend: runs the graphs.
    """

    analysis: Analysis
    backend: Backend

    @property
    def providers(self) -> tuple[str, ...]:
        """The execution providers in use."""
        return self.backend.providers

    def close(self) -> None:
        """Free the version; no request runs on it any more."""
        self.analysis.close()


@dataclass(frozen=True, eq=False)
class VersionLoader:
    """Loads versions of a repository.

    Attributes:
        repository: the model repository.
        backends: builds the backend of a verified folder.
        limits: bounds of one request.
        batcher: runs the batches of every version; without one only `Analysis.run_here` answers.
        variant: precision of the trunk, or `auto` for the faster one.
    """

    repository: Repository
    backends: BackendFactory
    limits: LimitSettings
    batcher: DynamicBatcher | None = None
    variant: Choice = "float32"

    def load(self, name: str, version: int) -> OpenVersion:
        """Verify a version, choose its backend by golden outputs and speed, and measure batches.

        Raises:
            ModelNotFound: no such version.
            InvalidVersion: a file, a graph or a golden output fails verification.
        """
        self.repository.verify(name, version)
        manifest = self.repository.load_manifest(name, version)
        folder = self.repository.folder(name, version)
        observer = NULL_OBSERVER if self.batcher is None else self.batcher.observer

        def refused(precision: Precision) -> None:
            observer.variant_refused(f"{name}/{version}", precision)

        backend, precision = Variants(folder, manifest, self.backends, refused).open(self.variant)
        digest = self.repository.digest(name, version)
        identity = ModelIdentity(name, version, digest, precision)
        try:
            analysis = Analysis(identity, manifest, folder, backend, self.limits, self.batcher)
        except BaseException:
            backend.close()
            raise
        return OpenVersion(analysis, backend)
