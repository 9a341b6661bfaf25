"""Backend: what runs the graphs of one loaded model version.

    analysis --(arrays)--> Backend --(arrays)--> analysis

A backend knows graphs and arrays, nothing of radiographs, tasks or HTTP. Its calls block,
and are made off the event loop.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


class Backend(Protocol):
    """Runs the trunk, the text side and the heads of one version; safe to call from threads."""

    @property
    def providers(self) -> tuple[str, ...]:
        """What really computes, such as `CUDAExecutionProvider`, in order of preference."""

    def trunk(self, image: FloatArray) -> dict[str, FloatArray]:
        """B x 1 x size x size -> the manifest's trunk outputs by name, batch axis first."""

    def text(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> FloatArray:
        """Token ids and mask, both P x T -> phrase features, P x D."""

    def head(self, name: str, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """One head's raw outputs (`HeadSpec` says which) from the inputs it names."""

    def close(self) -> None:
        """Free what the version holds. No call is made afterwards."""
