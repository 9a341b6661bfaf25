"""TritonBackend: the graphs of one version, run by a Triton server.

    infer -> ensemble NAME-vN: trunk and heads in Triton; the features never come here
    text  -> NAME-text        trunk, head -> NAME-trunk, NAME-HEAD    for golden outputs

While Triton is lost, calls fail at once with an error that lets clients retry, and a thread loads
the models again and replays the golden outputs, because a restarted Triton has not been checked.
"""

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from radiograph.errors import RadiographError
from radiograph.manifest import ModelManifest
from service.backends import golden
from service.backends.base import Backend, BackendOutputs, FloatArray
from service.backends.triton.graph_models import (
    MAX_BATCH,
    PHRASE_FEATURES,
    GraphModel,
    Tensor,
    ensemble_name,
    graph_models,
)
from service.backends.triton.server import Call, ConnectionLost, TritonServer, chunks
from service.errors import BackendFailure, BackendUnavailable, NotReady

logger = logging.getLogger("g2d.triton")

T = TypeVar("T")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _CLOSE_S = 0.2, 5.0, 5.0


class TritonGraphs(Backend):
    """Calls to the models of one version in Triton, without recovery from lost connections.

    Args:
        manifest: description of the version.
        graphs: its graphs as Triton models.
        server: runs them.
    """

    def __init__(
        self, manifest: ModelManifest, graphs: Mapping[str, GraphModel], server: TritonServer
    ) -> None:
        self._version = manifest.version
        self._ensemble = ensemble_name(manifest.name, manifest.version)
        self._graphs = graphs
        self._server = server
        self._vectors = [t for t in graphs["trunk"].outputs if len(t.dims) == 2]
        read = (t for name in manifest.heads for t in graphs[name].inputs)
        self._width = next((t.dims[1] for t in read if t.name == PHRASE_FEATURES), None)

    @property
    def providers(self) -> tuple[str, ...]:
        """`Triton`; its configuration decides which hardware computes."""
        return ("Triton",)

    def trunk(
        self, image: FloatArray, requested: Collection[str] | None = None
    ) -> dict[str, FloatArray]:
        """Return the trunk's outputs for B x 1 x size x size, by name, batch axis first."""
        return self._run("trunk", {"image": image}, len(image), requested=requested)

    def text(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> FloatArray:
        """Return the phrase features, P x D, of token ids and mask, both P x T."""
        if "text" not in self._graphs:
            raise BackendFailure("the version has no text encoder")
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        return self._run("text", inputs, len(input_ids))[PHRASE_FEATURES]

    def head(self, name: str, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Return one head's raw outputs for the inputs that it reads."""
        images = next((len(value) for key, value in inputs.items() if key != PHRASE_FEATURES), 0)
        return self._run(name, inputs, images, len(inputs.get(PHRASE_FEATURES, ())))

    def infer(
        self, image: FloatArray, heads: Collection[str], phrase_features: FloatArray | None = None
    ) -> BackendOutputs:
        """Run trunk and heads as one ensemble; the trunk's vectors are among the outputs."""
        phrases = self._phrase_inputs(heads, phrase_features)
        outputs = {f"trunk.{tensor.name}": tensor for tensor in self._vectors}
        outputs |= {f"{head}.{t.name}": t for head in heads for t in self._graphs[head].outputs}
        found = [
            self._server.infer(
                Call(
                    self._ensemble,
                    self._version,
                    {"image": image[part]} | phrases,
                    _shapes(outputs, len(image[part]), len(phrases.get(PHRASE_FEATURES, ()))),
                )
            )
            for part in chunks(len(image), MAX_BATCH)
        ]
        joined = _joined(found)
        return BackendOutputs(
            {tensor.name: joined[f"trunk.{tensor.name}"] for tensor in self._vectors},
            {
                head: {t.name: joined[f"{head}.{t.name}"] for t in self._graphs[head].outputs}
                for head in heads
            },
        )

    def release_memory(self) -> None:
        """Do nothing: Triton manages its memory."""

    def close(self) -> None:
        """Do nothing: no resources are held here."""

    def _phrase_inputs(
        self, heads: Collection[str], features: FloatArray | None
    ) -> dict[str, FloatArray]:
        """Return the phrase features, which the ensemble needs as soon as any of its heads does."""
        if features is None:
            reading = [
                head
                for head in heads
                if PHRASE_FEATURES in {t.name for t in self._graphs[head].inputs}
            ]
            if reading:
                raise BackendFailure(f"head {reading[0]} needs the missing input {PHRASE_FEATURES}")
        if self._width is None:
            return {}
        placeholder = np.zeros((1, self._width), np.float32)
        return {PHRASE_FEATURES: placeholder if features is None else features}

    def _run(
        self,
        role: str,
        inputs: Mapping[str, NDArray[Any]],
        first: int,
        second: int = 0,
        requested: Collection[str] | None = None,
    ) -> dict[str, FloatArray]:
        """Run one graph; a batch that is too large for Triton goes in pieces."""
        graph = self._graphs[role]
        outputs = {t.name: t for t in graph.outputs if requested is None or t.name in requested}
        found = []
        for piece in chunks(first, graph.batch):
            given = {name: value[piece] if graph.batch else value for name, value in inputs.items()}
            count = min(first, piece.stop) - piece.start
            shapes = _shapes(outputs, count, second)
            found.append(self._server.infer(Call(graph.name, self._version, given, shapes)))
        return _joined(found)


class TritonBackend(Backend):
    """One version in Triton, from loading to unloading.

    Args:
        folder: folder of the version, already verified.
        manifest: description of the version.
        server: runs the version.
    """

    remote = True

    def __init__(self, folder: Path, manifest: ModelManifest, server: TritonServer) -> None:
        """Load the version into Triton.

        Raises:
            InvalidVersion: Triton cannot load the version.
            NotReady: Triton does not have the version (yet).
            BackendUnavailable: Triton was not reached.
        """
        self._folder = folder
        self._manifest = manifest
        self._server = server
        graphs = graph_models(manifest, folder)
        ensemble = ensemble_name(manifest.name, manifest.version)
        self._models = (*(graph.name for graph in graphs.values()), ensemble)
        self._graphs = TritonGraphs(manifest, graphs, server)
        self._lost, self._closed = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._recovery: threading.Thread | None = None
        server.open(manifest.name, manifest.version, self._models)

    @property
    def providers(self) -> tuple[str, ...]:
        """`Triton`; its configuration decides which hardware computes."""
        return self._graphs.providers

    def trunk(
        self, image: FloatArray, requested: Collection[str] | None = None
    ) -> dict[str, FloatArray]:
        """Return the trunk's outputs for B x 1 x size x size, by name, batch axis first."""
        return self._guarded(lambda: self._graphs.trunk(image, requested))

    def text(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> FloatArray:
        """Return the phrase features, P x D, of token ids and mask, both P x T."""
        return self._guarded(lambda: self._graphs.text(input_ids, attention_mask))

    def head(self, name: str, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Return one head's raw outputs for the inputs that it reads."""
        return self._guarded(lambda: self._graphs.head(name, inputs))

    def infer(
        self, image: FloatArray, heads: Collection[str], phrase_features: FloatArray | None = None
    ) -> BackendOutputs:
        """Run trunk and heads in one call; the features stay in Triton."""
        return self._guarded(lambda: self._graphs.infer(image, heads, phrase_features))

    def release_memory(self) -> None:
        """Do nothing: Triton manages its memory."""

    def close(self) -> None:
        """Unload the version from Triton, except for graphs that other versions need."""
        with self._lock:
            self._closed.set()
        if self._recovery is not None:
            self._recovery.join(_CLOSE_S)
        self._server.release(self._manifest.name, self._manifest.version, self._models)

    def _guarded(self, run: Callable[[], T]) -> T:
        if self._lost.is_set():
            raise BackendUnavailable("the connection to Triton was lost and is not restored yet")
        try:
            return run()
        except ConnectionLost:
            self._start_recovery()
            raise

    def _start_recovery(self) -> None:
        """Start one thread that recovers the version."""
        with self._lock:
            if self._closed.is_set() or self._lost.is_set():
                return
            self._lost.set()
            logger.warning("%s: Triton is lost", self._name)
            self._recovery = threading.Thread(
                target=self._recover, name="triton-recovery", daemon=True
            )
            self._recovery.start()

    def _recover(self) -> None:
        """Load and check the version again until it passes or is closed."""
        pause = _FIRST_PAUSE_S
        while not self._closed.wait(pause):
            pause = min(2 * pause, _LONGEST_PAUSE_S)
            self._server.lost()
            try:
                self._server.restore(self._manifest.version, self._models)
                golden.replay(self._graphs, self._manifest, self._folder)
            except (BackendUnavailable, NotReady):
                continue
            except RadiographError as error:
                logger.error("%s: the restarted Triton fails verification: %s", self._name, error)
                continue
            except Exception:
                logger.exception("%s: recovery of Triton failed", self._name)
                continue
            self._lost.clear()
            logger.info("%s: Triton is back", self._name)
            return

    @property
    def _name(self) -> str:
        return f"{self._manifest.name}/{self._manifest.version}"


def _shapes(tensors: Mapping[str, Tensor], first: int, second: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes that outputs must have; varying axes are images, then phrases."""
    return {
        name: (first, *(second if axis == -1 else axis for axis in tensor.dims[1:]))
        for name, tensor in tensors.items()
    }


def _joined(found: list[dict[str, FloatArray]]) -> dict[str, FloatArray]:
    if len(found) == 1:
        return found[0]
    return {name: np.concatenate([piece[name] for piece in found]) for name in found[0]}
