"""Loader: make a version's folder ready to answer, or raise the reason why it is not.

trial in a process of its own -> verify digests -> build backends -> replay golden outputs
    -> choose the variant -> measure batches -> release their memory -> Analysis

A version without a pin in the repository is pinned here for the life of the process: it is loaded
again only with the digest that it had when it was loaded first.
"""

import logging
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from radiograph.errors import AlteredVersion
from radiograph.manifest import Precision
from radiograph.repository.integrity.version_files import VerifiedVersion
from radiograph.repository.repository import Repository
from service import malloc
from service.backends.base import Backend, BackendFactory
from service.inference.analysis import Analysis
from service.inference.results import ModelIdentity
from service.observability.observer import NULL_OBSERVER
from service.registry.loading.trial import Trial
from service.registry.loading.variants import Choice, Variants
from service.scheduling.dynamic_batching import DynamicBatcher
from service.settings import LimitSettings

logger = logging.getLogger("g2d.loading")


@dataclass(frozen=True)
class OpenVersion:
    """A version that answers, and the backend it runs on.

    Attributes:
        analysis: answers requests; closing it closes the backend as well.
        backend: runs the graphs.
        held: keeps the folder of the version from being removed, until it is closed.
    """

    analysis: Analysis
    backend: Backend
    held: ExitStack = field(default_factory=ExitStack)

    @property
    def providers(self) -> tuple[str, ...]:
        """The execution providers in use."""
        return self.backend.providers

    def close(self) -> None:
        """Free the version; no request runs on it any more."""
        with self.held:
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
        trial: tries a version before it is loaded here; None loads it at once.
    """

    repository: Repository
    backends: BackendFactory
    limits: LimitSettings
    batcher: DynamicBatcher | None = None
    variant: Choice = "float32"
    trial: Trial | None = None
    _first_digests: dict[tuple[str, int], str] = field(default_factory=dict)

    def load(self, name: str, version: int) -> OpenVersion:
        """Verify a version, choose its backend by golden outputs and speed, and measure batches.

        Raises:
            ModelNotFound: no such version.
            AlteredVersion: the version is not the one that was published or loaded before.
            UnsignedVersion: the version lacks the signature that the settings ask for.
            UnloadableVersion: loading takes too long or too much memory.
            NotReady: the service stops.
            InvalidVersion: a file, a graph or a golden output fails verification.
        """
        with ExitStack() as held:
            held.enter_context(self.repository.hold(name, version))
            opened = self._load(name, version)
            return replace(opened, held=held.pop_all())

    def _load(self, name: str, version: int) -> OpenVersion:
        """Load a version whose folder stays."""
        digest = self.repository.identify(name, version)
        if self.trial is not None:  # first, for it also bounds the memory of reading the files
            self.trial.check(name, version, digest)
        verified = self._verified(name, version)
        if verified.digest != digest:
            raise AlteredVersion(f"{name}/{version}: the manifest was changed while it was loaded")
        opened = self._open(name, version, verified)
        opened.backend.release_memory()  # the largest batch that was tried may never come again
        malloc.give_back()
        self._first_digests.setdefault((name, version), opened.analysis.identity.digest)
        return opened

    def _verified(self, name: str, version: int) -> VerifiedVersion:
        """Verify a version on disk, also against the one that was loaded first."""
        verified = self.repository.verify(name, version)
        first = self._first_digests.get((name, version), verified.digest)
        if verified.digest != first:
            raise AlteredVersion(
                f"{name}/{version}: the manifest was changed after the version was loaded"
            )
        if not verified.pinned:
            logger.warning("%s/%s has no pinned digest: run g2d models pin", name, version)
        return verified

    def _open(self, name: str, version: int, verified: VerifiedVersion) -> OpenVersion:
        """Build a verified version."""
        manifest, folder = verified.manifest, verified.folder
        observer = NULL_OBSERVER if self.batcher is None else self.batcher.observer

        def refused(precision: Precision) -> None:
            observer.variant_refused(f"{name}/{version}", precision)

        backend, precision = Variants(folder, manifest, self.backends, refused).open(self.variant)
        identity = ModelIdentity(name, version, verified.digest, precision)
        try:
            analysis = Analysis(identity, manifest, folder, backend, self.limits, self.batcher)
        except BaseException:
            backend.close()
            raise
        return OpenVersion(analysis, backend)
