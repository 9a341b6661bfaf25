"""Golden outputs: a loaded version must compute what it computed when it was published.

    golden.npz: image, input_ids, attention_mask --(backend)--> outputs == recorded outputs

They are replayed on every load, so a version never becomes ready if the runtime, the processor or
a file has changed its outputs.
"""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiograph.errors import InvalidVersion
from radiograph.manifest import ModelManifest
from service.backends.base import Backend, FloatArray
from service.errors import BackendFailure

Arrays = Mapping[str, NDArray[Any]]


def replay(backend: Backend, manifest: ModelManifest, folder: Path) -> float:
    """Run the golden inputs and compare every output.

    Returns:
        The largest absolute difference, which is within the tolerance.

    Raises:
        InvalidVersion: an output is missing, of another shape, not finite, or further from
            the recorded one than the manifest's tolerance.
    """
    recorded = read_arrays(folder / manifest.golden.file)
    try:
        outputs = dict(_outputs(backend, manifest, recorded))
    except BackendFailure as error:
        raise InvalidVersion(f"golden inputs: {error}") from error
    return max(
        _difference(name, value, recorded, manifest.golden.tolerance)
        for name, value in outputs.items()
    )


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of an `.npz` file, without unpickling.

    Raises:
        InvalidVersion: the file cannot be read, or does not hold arrays only.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, TypeError, zipfile.BadZipFile, EOFError) as error:
        raise InvalidVersion(f"{path.name}: not an archive of arrays") from error


def _outputs(
    backend: Backend, manifest: ModelManifest, recorded: Arrays
) -> Iterator[tuple[str, FloatArray]]:
    """Yield every output by its name in the golden file, computed as in serving."""
    image, phrases = _input(recorded, "image"), None
    if manifest.text is not None:
        phrases = backend.text(_input(recorded, "input_ids"), _input(recorded, "attention_mask"))
        yield "text.phrase_features", phrases
    inferred = backend.infer(image, manifest.heads, phrases)
    features = inferred.features
    if not set(manifest.trunk.outputs) <= set(features):
        features = {**features, **backend.trunk(image)}
    yield from ((f"trunk.{name}", np.asarray(features[name])) for name in manifest.trunk.outputs)
    for name, outputs in inferred.heads.items():
        for output, value in outputs.items():
            yield f"{name}.{output}", value


def _input(recorded: Arrays, name: str) -> NDArray[Any]:
    if name not in recorded:
        raise InvalidVersion(f"golden outputs: `{name}` is missing")
    return recorded[name]


def _difference(name: str, value: FloatArray, recorded: Arrays, tolerance: float) -> float:
    expected = _input(recorded, name)
    if value.shape != expected.shape:
        raise InvalidVersion(f"golden outputs: `{name}` is {value.shape}, not {expected.shape}")
    if value.size == 0:
        return 0.0
    difference = float(np.max(np.abs(value.astype(np.float64) - expected.astype(np.float64))))
    if not difference <= tolerance:  # also true for NaN
        raise InvalidVersion(f"golden outputs: `{name}` differs by {difference:.3g}")
    return difference
