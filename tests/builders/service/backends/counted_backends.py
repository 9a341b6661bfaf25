"""Real backends whose sessions are counted, to see that none is left behind."""

import gc
import weakref
from pathlib import Path

from radiograph.manifest import ModelManifest
from service.backends.ort.backend import OrtBackend
from tests.builders.service.backends.ort_graphs import graph_cache


class CountedBackends:
    """A factory of backends that share their sessions; it keeps none of them alive."""

    def __init__(self) -> None:
        self._cache = graph_cache()
        self.backends: weakref.WeakSet[OrtBackend] = weakref.WeakSet()

    def __call__(self, folder: Path, manifest: ModelManifest) -> OrtBackend:
        backend = OrtBackend(folder, manifest, self._cache)
        self.backends.add(backend)
        return backend

    @property
    def graphs(self) -> int:
        """Number of graphs in memory."""
        gc.collect()
        return len(self._cache._graphs)
