"""OrtBackend: the graphs of one version, run in this process with ONNX Runtime."""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radiograph.errors import InvalidVersion
from radiograph.manifest import HeadSpec, ModelManifest
from service.backends.base import GLOBAL_FEATURES, BackendOutputs, FloatArray
from service.backends.ort.graph import Graph, GraphCache, Trunk
from service.backends.ort.session import shrink_arena
from service.errors import BackendFailure

_FLOAT32 = "tensor(float)"


class OrtBackend:
    """The graphs of one version.

    Args:
        folder: folder of the version, already verified.
        manifest: description of the version.
        graphs: shares graphs of equal digest between versions.
    """

    remote = False

    def __init__(self, folder: Path, manifest: ModelManifest, graphs: GraphCache) -> None:
        """Build every graph.

        Raises:
            InvalidVersion: a graph cannot be built or does not fit the manifest.
            ProviderUnavailable: another provider than the requested one computes.
        """

        def graph(file: str) -> Graph:
            return graphs.open(folder / file, manifest.files[file])

        self._manifest = manifest
        file = manifest.trunk.file
        self._trunk = graphs.open_trunk(folder / file, manifest.files[file])
        _check("trunk", self._trunk, {"image"}, set(manifest.trunk.outputs))
        self._text: Graph | None = None
        if manifest.text is not None:
            self._text = graph(manifest.text.file)
            _check("text", self._text, {"input_ids", "attention_mask"}, {"phrase_features"})
        self._heads = {name: graph(head.file) for name, head in manifest.heads.items()}
        for name, head in manifest.heads.items():
            _check_head(name, head, self._heads[name])

    @property
    def providers(self) -> tuple[str, ...]:
        """Execution providers of the trunk, in order of preference."""
        return self._trunk.providers

    def trunk(
        self, image: FloatArray, requested: Collection[str] | None = None
    ) -> dict[str, FloatArray]:
        """Return the trunk's outputs for B x 1 x size x size, by name, batch axis first."""
        names = self._manifest.trunk.outputs
        values = self._trunk.run(image, names if requested is None else requested)
        return {name: values[name] for name in names if name in values}

    def text(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> FloatArray:
        """Return the phrase features, P x D, of token ids and mask, both P x T."""
        if self._text is None:
            raise BackendFailure("the version has no text encoder")
        feeds = {"input_ids": input_ids, "attention_mask": attention_mask}
        features: FloatArray = self._text.run(feeds)["phrase_features"]
        return features

    def head(self, name: str, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Return one head's raw outputs for the inputs that it reads."""
        return self._heads[name].run(inputs)

    def infer(
        self, image: FloatArray, heads: Collection[str], phrase_features: FloatArray | None = None
    ) -> BackendOutputs:
        """Run the trunk once, as far as the heads need it, then each head on what it reads."""
        read = {item for name in heads for item in self._manifest.heads[name].inputs}
        features = self.trunk(image, read | {GLOBAL_FEATURES})
        given = (
            features
            if phrase_features is None
            else {**features, "phrase_features": phrase_features}
        )
        outputs = {}
        for name in heads:
            inputs = self._manifest.heads[name].inputs
            if missing := sorted(set(inputs) - set(given)):
                raise BackendFailure(f"head {name} needs the missing inputs {missing}")
            outputs[name] = self.head(name, {item: given[item] for item in inputs})
        return BackendOutputs(features, outputs)

    def release_memory(self) -> None:
        """Return memory of the arena that all graphs share and that no run uses."""
        shrink_arena()

    def close(self) -> None:
        """Release the graphs; those that no other version holds are freed."""
        self._heads.clear()
        self._text = None
        del self._trunk


def _check_head(name: str, head: HeadSpec, graph: Graph) -> None:
    _check(f"head {name}", graph, set(head.inputs), set(head.outputs))


def _check(name: str, graph: Graph | Trunk, inputs: set[str], outputs: set[str]) -> None:
    """Refuse a graph whose inputs or outputs differ from the manifest."""
    if graph.inputs != inputs:
        raise InvalidVersion(f"{name} reads {sorted(graph.inputs)}, not {sorted(inputs)}")
    if missing := sorted(outputs - set(graph.outputs)):
        raise InvalidVersion(f"{name} does not give {missing}")
    if any(graph.outputs[output] != _FLOAT32 for output in outputs):
        raise InvalidVersion(f"{name} does not give float32")
