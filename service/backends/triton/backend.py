"""TritonBackend: a version's graphs, run by a Triton elsewhere.

    answers -> ensemble NAME-vN: trunk and heads there; the features never come here
    text    -> NAME-text        trunk, head -> NAME-trunk, NAME-HEAD    for golden outputs

When Triton is lost, calls fail at once with what a client may try again, while a thread loads
the models anew and replays the golden outputs: a Triton that came back is not the one that was
checked.
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
from service.backends.base import Answers, Backend, FloatArray
from service.backends.triton.model_config import Part, Tensor
from service.backends.triton.repository_view import MAX_BATCH, parts_of, whole_name
from service.backends.triton.server import Call, ConnectionLost, TritonServer, chunks
from service.errors import BackendFailure, BackendUnavailable, NotReady

logger = logging.getLogger("g2d.triton")

T = TypeVar("T")

_PHRASES = "phrase_features"
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _CLOSE_S = 0.2, 5.0, 5.0


class Graphs(Backend):
    """The calls themselves, as they succeed or fail.

    Args:
        manifest: what the version is.
        parts: its graphs as Triton models.
        server: where they run.
    """

    def __init__(
        self, manifest: ModelManifest, parts: Mapping[str, Part], server: TritonServer
    ) -> None:
        self._version = manifest.version
        self._whole = whole_name(manifest.name, manifest.version)
        self._parts = parts
        self._server = server
        self._vectors = [t for t in parts["trunk"].outputs if len(t.dims) == 2]
        read = (t for name in manifest.heads for t in parts[name].inputs)
        self._width = next((t.dims[1] for t in read if t.name == _PHRASES), None)

    @property
    def providers(self) -> tuple[str, ...]:
        """Triton; what computes behind it is its configuration's matter."""
        return ("Triton",)

    def trunk(
        self, image: FloatArray, asked: Collection[str] | None = None
    ) -> dict[str, FloatArray]:
        """B x 1 x size x size -> the trunk's outputs by name, batch axis first."""
        return self._run("trunk", {"image": image}, len(image), asked=asked)

    def text(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> FloatArray:
        """Token ids and mask, both P x T -> phrase features, P x D."""
        if "text" not in self._parts:
            raise BackendFailure("the version has no text side")
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        return self._run("text", inputs, len(input_ids))[_PHRASES]

    def head(self, name: str, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """One head's raw outputs from the inputs it names."""
        images = next((len(value) for key, value in inputs.items() if key != _PHRASES), 0)
        return self._run(name, inputs, images, len(inputs.get(_PHRASES, ())))

    def answers(
        self, image: FloatArray, heads: Collection[str], phrase_features: FloatArray | None = None
    ) -> Answers:
        """Trunk and heads in one ensemble; the trunk's vectors come with the answers."""
        phrases = self._given(heads, phrase_features)
        outputs = {f"trunk.{tensor.name}": tensor for tensor in self._vectors}
        outputs |= {f"{head}.{t.name}": t for head in heads for t in self._parts[head].outputs}
        found = [
            self._server.infer(
                Call(
                    self._whole,
                    self._version,
                    {"image": image[part]} | phrases,
                    _shapes(outputs, len(image[part]), len(phrases.get(_PHRASES, ()))),
                )
            )
            for part in chunks(len(image), MAX_BATCH)
        ]
        whole = _joined(found)
        return Answers(
            {tensor.name: whole[f"trunk.{tensor.name}"] for tensor in self._vectors},
            {
                head: {t.name: whole[f"{head}.{t.name}"] for t in self._parts[head].outputs}
                for head in heads
            },
        )

    def close(self) -> None:
        """Nothing is held here."""

    def _given(self, heads: Collection[str], features: FloatArray | None) -> dict[str, FloatArray]:
        """The features of phrases as the ensemble wants them: always, where any head reads them."""
        if features is None:
            reads = [
                head for head in heads if _PHRASES in {t.name for t in self._parts[head].inputs}
            ]
            if reads:
                raise BackendFailure(f"head {reads[0]} reads {_PHRASES}")
        if self._width is None:
            return {}
        none = np.zeros((1, self._width), np.float32)
        return {_PHRASES: none if features is None else features}

    def _run(
        self,
        role: str,
        inputs: Mapping[str, NDArray[Any]],
        first: int,
        second: int = 0,
        asked: Collection[str] | None = None,
    ) -> dict[str, FloatArray]:
        """One graph; a batch larger than Triton takes goes in pieces."""
        part = self._parts[role]
        outputs = {t.name: t for t in part.outputs if asked is None or t.name in asked}
        found = []
        for piece in chunks(first, part.batch):
            given = {name: value[piece] if part.batch else value for name, value in inputs.items()}
            count = min(first, piece.stop) - piece.start
            shapes = _shapes(outputs, count, second)
            found.append(self._server.infer(Call(part.name, self._version, given, shapes)))
        return _joined(found)


class TritonBackend(Backend):
    """One version in Triton, from loading to unloading.

    Args:
        folder: the version's folder, already verified.
        manifest: what is in it.
        server: where it runs.
    """

    remote = True

    def __init__(self, folder: Path, manifest: ModelManifest, server: TritonServer) -> None:
        """Load it there.

        Raises:
            InvalidVersion: Triton cannot load it.
            NotReady: Triton does not have it (yet).
            BackendUnavailable: Triton is not reached.
        """
        self._folder = folder
        self._manifest = manifest
        self._server = server
        parts = parts_of(manifest, folder)
        whole = whole_name(manifest.name, manifest.version)
        self._models = (*(part.name for part in parts.values()), whole)
        self._graphs = Graphs(manifest, parts, server)
        self._lost, self._closed = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._returning: threading.Thread | None = None
        server.open(manifest.name, manifest.version, self._models)

    @property
    def providers(self) -> tuple[str, ...]:
        """Triton; what computes behind it is its configuration's matter."""
        return self._graphs.providers

    def trunk(
        self, image: FloatArray, asked: Collection[str] | None = None
    ) -> dict[str, FloatArray]:
        """B x 1 x size x size -> the trunk's outputs by name, batch axis first."""
        return self._guarded(lambda: self._graphs.trunk(image, asked))

    def text(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> FloatArray:
        """Token ids and mask, both P x T -> phrase features, P x D."""
        return self._guarded(lambda: self._graphs.text(input_ids, attention_mask))

    def head(self, name: str, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """One head's raw outputs from the inputs it names."""
        return self._guarded(lambda: self._graphs.head(name, inputs))

    def answers(
        self, image: FloatArray, heads: Collection[str], phrase_features: FloatArray | None = None
    ) -> Answers:
        """Trunk and heads in one call; features stay in Triton."""
        return self._guarded(lambda: self._graphs.answers(image, heads, phrase_features))

    def close(self) -> None:
        """Unload the version from Triton, unless others there need it."""
        with self._lock:
            self._closed.set()
        if self._returning is not None:
            self._returning.join(_CLOSE_S)
        self._server.release(self._manifest.name, self._manifest.version, self._models)

    def _guarded(self, run: Callable[[], T]) -> T:
        if self._lost.is_set():
            raise BackendUnavailable("Triton was lost and is not back yet")
        try:
            return run()
        except ConnectionLost:
            self._lose()
            raise

    def _lose(self) -> None:
        """Begin to come back, once."""
        with self._lock:
            if self._closed.is_set() or self._lost.is_set():
                return
            self._lost.set()
            logger.warning("%s: Triton is lost", self._graphs_name)
            self._returning = threading.Thread(
                target=self._come_back, name="triton-return", daemon=True
            )
            self._returning.start()

    def _come_back(self) -> None:
        """Load and check again until it holds or the version is closed."""
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
                logger.error("%s: not the Triton that it was: %s", self._graphs_name, error)
                continue
            except Exception:
                logger.exception("%s: Triton does not come back", self._graphs_name)
                continue
            self._lost.clear()
            logger.info("%s: Triton is back", self._graphs_name)
            return

    @property
    def _graphs_name(self) -> str:
        return f"{self._manifest.name}/{self._manifest.version}"


def _shapes(tensors: Mapping[str, Tensor], first: int, second: int) -> dict[str, tuple[int, ...]]:
    """The shapes that outputs must have: varying axes are images, then phrases."""
    return {
        name: (first, *(second if axis == -1 else axis for axis in tensor.dims[1:]))
        for name, tensor in tensors.items()
    }


def _joined(found: list[dict[str, FloatArray]]) -> dict[str, FloatArray]:
    if len(found) == 1:
        return found[0]
    return {name: np.concatenate([piece[name] for piece in found]) for name in found[0]}
