"""Golden outputs: a loaded version must compute what it computed when it was published.

    golden.npz: image, input_ids, attention_mask --(backend)--> outputs == recorded outputs

    golden_answers.npz: pixels --preprocess, (backend), postprocess--> answers == recorded answers

They are replayed on every load, so a version never becomes ready if the runtime, the processor or
a file has changed its outputs. A version that was published without golden answers is replayed
without them.
"""

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiograph import golden_answers
from radiograph.errors import InvalidVersion
from radiograph.manifest import ModelManifest
from service.backends.base import Backend, FloatArray
from service.errors import BackendFailure

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Difference:
    """The output that is furthest from the recorded one, in shares of the tolerance.

    Attributes:
        output: name of the output in the golden file.
        value: largest absolute difference; NaN if an output is not a number.
        tolerance: largest difference that the manifest accepts.
    """

    output: str
    value: float
    tolerance: float

    @property
    def accepted(self) -> bool:
        """True if the difference is within the tolerance."""
        return self.value <= self.tolerance  # False for NaN

    def __str__(self) -> str:
        return f"golden outputs: `{self.output}` differs by {self.value:.3g}"


def replay(backend: Backend, manifest: ModelManifest, folder: Path) -> float:
    """Run the golden inputs and compare every output.

    Returns:
        The largest absolute difference, which is within the tolerance.

    Raises:
        InvalidVersion: an output is missing, of another shape, not finite, or further from
            the recorded one than the manifest's tolerance.
    """
    difference = largest_difference(backend, manifest, folder)
    if not difference.accepted:
        raise InvalidVersion(str(difference))
    return difference.value


def replay_answers(backend: Backend, manifest: ModelManifest, folder: Path) -> bool:
    """Answer the golden radiograph and compare every answer.

    Returns:
        False if the version has no golden answers.

    Raises:
        InvalidVersion: an answer is missing, or is not the recorded one.
    """
    if manifest.golden.answers is None:
        return False
    recorded = read_arrays(folder / manifest.golden.answers)
    radiograph = golden_answers.radiograph_of(recorded)
    image, geometry = golden_answers.model_input(radiograph, manifest.preprocess)
    phrases = None
    try:
        if manifest.text is not None:
            golden = read_arrays(folder / manifest.golden.file)
            tokens = (_input(golden, name) for name in ("input_ids", "attention_mask"))
            phrases = backend.text(*tokens)
        inferred = backend.infer(image, manifest.heads, phrases)
    except BackendFailure as error:
        raise InvalidVersion(f"golden answers: {error}") from error
    count = 0 if phrases is None else len(phrases)
    answers = golden_answers.answers_of(manifest.heads, inferred.heads, radiograph, geometry, count)
    tolerance = manifest.golden.tolerance
    golden_answers.refuse_other_answers(manifest.heads, recorded, answers, tolerance)
    return True


def largest_difference(backend: Backend, manifest: ModelManifest, folder: Path) -> Difference:
    """Run the golden inputs and return the largest difference, accepted or not.

    Raises:
        InvalidVersion: a graph fails, or an output is missing or of another shape.
    """
    recorded = read_arrays(folder / manifest.golden.file)
    try:
        outputs = dict(_outputs(backend, manifest, recorded))
    except BackendFailure as error:
        raise InvalidVersion(f"golden inputs: {error}") from error
    differences = {name: _difference(name, value, recorded) for name, value in outputs.items()}
    # NaN is the largest of all
    name = max(differences, key=lambda n: (np.isnan(differences[n]), differences[n]))
    return Difference(name, differences[name], manifest.golden.tolerance)


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
    if manifest.golden.feature_maps and not set(manifest.trunk.outputs) <= set(features):
        features = {**features, **backend.trunk(image)}
    for name, feature in ((n, np.asarray(features[n])) for n in features):
        if manifest.golden.feature_maps or feature.ndim == 2:  # maps have four axes
            yield f"trunk.{name}", feature
    for name, outputs in inferred.heads.items():
        for output, value in outputs.items():
            yield f"{name}.{output}", value


def _input(recorded: Arrays, name: str) -> NDArray[Any]:
    if name not in recorded:
        raise InvalidVersion(f"golden outputs: `{name}` is missing")
    return recorded[name]


def _difference(name: str, value: FloatArray, recorded: Arrays) -> float:
    """Return the largest absolute difference of one output."""
    expected = _input(recorded, name)
    if value.shape != expected.shape:
        raise InvalidVersion(f"golden outputs: `{name}` is {value.shape}, not {expected.shape}")
    if value.size == 0:
        return 0.0
    return float(np.max(np.abs(value.astype(np.float64) - expected.astype(np.float64))))
