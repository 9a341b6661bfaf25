"""Graphs of a version as Triton models: names, files, tensors and batches.

    manifest + shapes in the golden file -> GraphModel for `trunk`, `text` and each head

Shapes come from the golden outputs, so no runtime is needed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from radiograph.errors import InvalidVersion
from radiograph.manifest import HeadSpec, ModelManifest, Task
from service.backends.golden import read_arrays

MAX_BATCH = 8
MAX_PHRASES = 64
PHRASE_FEATURES = "phrase_features"

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Tensor:
    """One input or output.

    Attributes:
        name: name in the graph.
        type: Triton's name of the data type, such as `TYPE_FP32`.
        dims: size of every axis, -1 for an axis that varies.
        sample: sizes that the graph certainly accepts, for the warm-up.
    """

    name: str
    type: str
    dims: tuple[int, ...]
    sample: tuple[int, ...]


@dataclass(frozen=True)
class GraphModel:
    """One graph as a Triton model.

    Attributes:
        name: name of the Triton model.
        role: `trunk`, `text` or `head`; its place in an ensemble.
        inputs: tensors that the graph reads.
        outputs: tensors that the graph gives.
        batch: the largest batch along the first axis; 0 if the tensors share no batch axis.
    """

    name: str
    role: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    batch: int


def ensemble_name(name: str, number: int) -> str:
    """Return the name of the ensemble of all graphs of a version."""
    return f"{name}-v{number}"


def graph_models(manifest: ModelManifest, folder: Path) -> dict[str, GraphModel]:
    """Describe the graphs of a version: `trunk`, `text` and the heads, by name.

    Raises:
        InvalidVersion: the golden outputs lack a tensor, or a head has a reserved name.
    """
    recorded = read_arrays(folder / manifest.golden.file)
    shapes = {key: value.shape for key, value in recorded.items()}
    return {role: _graph_model(manifest, role, shapes) for role in graph_files(manifest)}


def graph_files(manifest: ModelManifest) -> dict[str, str]:
    """Return the file of each graph: `trunk`, `text` and the heads, by name.

    Raises:
        InvalidVersion: a head has a reserved name.
    """
    files = {"trunk": manifest.trunk.file}
    if manifest.text is not None:
        files["text"] = manifest.text.file
    if reserved := sorted(set(files) & set(manifest.heads)):
        raise InvalidVersion(f"a head must not be called {reserved[0]}")
    return files | {head: spec.file for head, spec in manifest.heads.items()}


def _graph_model(manifest: ModelManifest, role: str, shapes: Shapes) -> GraphModel:
    name = f"{manifest.name}-{role}"
    if role == "trunk":
        image = _tensor("image", "image", shapes)
        features = tuple(_tensor(item, f"trunk.{item}", shapes) for item in manifest.trunk.outputs)
        return GraphModel(name, "trunk", (image,), features, MAX_BATCH)
    if role == "text":
        ids = (_tensor(item, item, shapes, 2, "INT64") for item in ("input_ids", "attention_mask"))
        phrases = _tensor(PHRASE_FEATURES, f"text.{PHRASE_FEATURES}", shapes)
        return GraphModel(name, "text", tuple(ids), (phrases,), MAX_PHRASES)
    return _head_model(name, role, manifest.heads[role], shapes)


def _head_model(name: str, head: str, spec: HeadSpec, shapes: Shapes) -> GraphModel:
    inputs = tuple(
        _tensor(item, f"{'text' if item == PHRASE_FEATURES else 'trunk'}.{item}", shapes)
        for item in spec.inputs
    )
    reads_phrases = spec.kind is Task.GROUND or PHRASE_FEATURES in spec.inputs
    varying = 2 if spec.kind is Task.GROUND else 1
    prefix = f"{head}."
    outputs = tuple(
        _tensor(key.removeprefix(prefix), key, shapes, varying)
        for key in shapes
        if key.startswith(prefix) and "." not in key.removeprefix(prefix)
    )
    if not outputs:
        raise InvalidVersion(f"golden outputs: nothing of head {head}")
    # Images and phrases are counted along the first axes of different inputs: no common batch.
    return GraphModel(name, "head", inputs, outputs, 0 if reads_phrases else MAX_BATCH)


def _tensor(name: str, key: str, shapes: Shapes, varying: int = 1, kind: str = "FP32") -> Tensor:
    """Return a tensor with the shape of the golden file; its first `varying` axes vary."""
    shape = shapes.get(key, ())
    if len(shape) < max(varying, 2) or 0 in shape:
        raise InvalidVersion(f"golden outputs: `{key}` is {shape or 'missing'}")
    fixed = shape[varying:]
    sample = (1, *shape[1:])
    return Tensor(name, f"TYPE_{kind}", (*[-1] * varying, *fixed), sample)
