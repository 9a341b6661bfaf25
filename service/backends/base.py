"""Backend: the interface of a runtime to the graphs of one loaded model version.

    inference --arrays--> Backend --arrays--> inference

A backend works on graphs and arrays, and knows nothing of radiographs, tasks or HTTP. Its calls
block, and are made off the event loop.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from radiograph.manifest import ModelManifest

FloatArray = NDArray[np.float32]

GLOBAL_FEATURES = "global_features"
"""Output of the trunk that every version has, B x D."""

_ALONE: ContextVar[bool] = ContextVar("alone", default=True)
_REQUEST_IDS: ContextVar[tuple[str, ...]] = ContextVar("request_ids", default=())


@dataclass(frozen=True)
class BackendOutputs:
    """Result of `Backend.infer`.

    Attributes:
        features: outputs of the trunk by name: `global_features`, and those that cost nothing.
        heads: raw outputs of each head by name.
    """

    features: dict[str, FloatArray]
    heads: dict[str, dict[str, FloatArray]]


class Backend(Protocol):
    """Runs the trunk, the text encoder and the heads of one version; safe to call from threads.

    Attributes:
        remote: whether features would cross a network, so that callers use `infer`, not `trunk`.
    """

    remote: bool = False

    @property
    def providers(self) -> tuple[str, ...]:
        """Hardware that computes, such as `CUDAExecutionProvider`, in order of preference."""

    def trunk(
        self, image: FloatArray, requested: Collection[str] | None = None
    ) -> dict[str, FloatArray]:
        """Return outputs of the trunk by name, batch axis first; they may stay on a device.

        Args:
            image: B x 1 x size x size.
            requested: outputs that will be read, or None for all. Others may be missing.
        """

    def text(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> FloatArray:
        """Return the phrase features, P x D, of token ids and mask, both P x T."""

    def head(self, name: str, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Return one head's raw outputs (see `HeadSpec`) for the inputs that it reads."""

    def infer(
        self, image: FloatArray, heads: Collection[str], phrase_features: FloatArray | None = None
    ) -> BackendOutputs:
        """Run trunk and heads in one call, so that the features stay in a remote backend.

        Args:
            image: B x 1 x size x size.
            heads: names of the heads.
            phrase_features: P x D, for heads that read phrases; every image meets every phrase.
        """

    def release_memory(self) -> None:
        """Return memory that was kept for batches as large as earlier ones, if there is any."""

    def close(self) -> None:
        """Free the resources of the version. No call may follow."""


BackendFactory = Callable[[Path, ModelManifest], Backend]
"""Builds the backend of a verified version, from its folder and its manifest."""


@contextmanager
def on_behalf_of(*request_ids: str, alone: bool = True) -> Iterator[None]:
    """Tell backends which requests the calls within are made for.

    Args:
        request_ids: ids of the requests, which a backend may pass on.
        alone: whether no other request is in progress, so that the whole machine is free.
    """
    tokens = _REQUEST_IDS.set(request_ids), _ALONE.set(alone)
    try:
        yield
    finally:
        _REQUEST_IDS.reset(tokens[0])
        _ALONE.reset(tokens[1])


def alone() -> bool:
    """Return whether no request is in progress beside those of the current call."""
    return _ALONE.get()


def request_ids() -> tuple[str, ...]:
    """Return the ids of the requests of the current call; empty if none were given."""
    return _REQUEST_IDS.get()
