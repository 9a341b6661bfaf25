"""A backend whose trunk waits until the test opens its gate."""

import asyncio
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any

from radiograph.manifest import ModelManifest
from service.backends.base import FloatArray
from service.backends.ort.backend import OrtBackend
from tests.builders.service.backends.ort_graphs import graph_cache


class Gate(OrtBackend):
    """A backend whose trunk waits until the test opens it."""

    def __init__(self, folder: Path, manifest: ModelManifest) -> None:
        super().__init__(folder, manifest, graph_cache())
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()
        self.open.set()
        self.batches: list[int] = []

    def trunk(
        self, image: FloatArray, requested: Collection[str] | None = None
    ) -> dict[str, FloatArray]:
        self.batches.append(len(image))
        self.entered.release()
        assert self.open.wait(60)
        return super().trunk(image, requested)

    @property
    def calls(self) -> int:
        """Number of batches since the gate was shut."""
        return len(self.batches)

    def shut(self) -> None:
        """Block further calls; those of the golden outputs are over by then."""
        self.open.clear()
        self.batches = []
        self.entered = threading.Semaphore(0)

    async def reached(self) -> None:
        """Wait until a call is blocked at the gate."""
        assert await asyncio.to_thread(self.entered.acquire, timeout=60)


def build(gates: list[Gate]) -> Any:
    """Return a backend factory that appends each backend to `gates`."""

    def factory(folder: Path, manifest: ModelManifest) -> Gate:
        gates.append(Gate(folder, manifest))
        return gates[-1]

    return factory
