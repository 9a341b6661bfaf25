"""Backend: what runs the graphs of one loaded model version.

    analysis --(arrays)--> Backend --(arrays)--> analysis

A backend knows graphs and arrays, nothing of radiographs, tasks or HTTP. Its calls block,
and are made off the event loop.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

GLOBAL_FEATURES = "global_features"
"""The trunk's output that every version has, B x D."""

_ALONE: ContextVar[bool] = ContextVar("alone", default=True)
_REQUEST_IDS: ContextVar[tuple[str, ...]] = ContextVar("request_ids", default=())


@dataclass(frozen=True)
class Answers:
    """What `Backend.answers` gives.

    Attributes:
        features: of the trunk by name, `global_features` at least; more where they cost nothing.
        heads: each head's raw outputs by name.
    """

    features: dict[str, FloatArray]
    heads: dict[str, dict[str, FloatArray]]


class Backend(Protocol):
    """Runs the trunk, the text side and the heads of one version; safe to call from threads.

    Attributes:
        remote: whether features would travel, so that `answers` is called and not `trunk`.
    """

    remote: bool = False

    @property
    def providers(self) -> tuple[str, ...]:
        """What really computes, such as `CUDAExecutionProvider`, in order of preference."""

    def trunk(
        self, image: FloatArray, asked: Collection[str] | None = None
    ) -> dict[str, FloatArray]:
        """The trunk's outputs by name, batch axis first; they may stay on a device until read.

        Args:
            image: B x 1 x size x size.
            asked: the outputs that are read, or None for all; others cost nothing or are missing.
        """

    def text(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> FloatArray:
        """Token ids and mask, both P x T -> phrase features, P x D."""

    def head(self, name: str, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """One head's raw outputs (`HeadSpec` says which) from the inputs it names."""

    def answers(
        self, image: FloatArray, heads: Collection[str], phrase_features: FloatArray | None = None
    ) -> Answers:
        """Trunk and heads in one call, so that a backend elsewhere keeps the features there.

        Args:
            image: B x 1 x size x size.
            heads: which heads.
            phrase_features: P x D, for heads that read phrases; each is held against every image.
        """

    def close(self) -> None:
        """Free what the version holds. No call is made afterwards."""


@contextmanager
def on_behalf_of(*request_ids: str, alone: bool = True) -> Iterator[None]:
    """Say what the calls within are made for.

    Args:
        request_ids: of the requests, so that a backend may pass them on.
        alone: whether no other request is inside, and so the whole machine free.
    """
    tokens = _REQUEST_IDS.set(request_ids), _ALONE.set(alone)
    try:
        yield
    finally:
        _REQUEST_IDS.reset(tokens[0])
        _ALONE.reset(tokens[1])


def alone() -> bool:
    """Whether no other request is inside than those that this thread's call is made for."""
    return _ALONE.get()


def request_ids() -> tuple[str, ...]:
    """The requests that this thread's call is made for; empty when nobody said."""
    return _REQUEST_IDS.get()
