"""Recording of golden answers: a staged version answers a made-up radiograph from its pixels.

    golden_radiograph --preprocess--> ONNX Runtime --postprocess--> golden_answers.npz

Every process that loads the version answers the same radiograph and compares.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radiograph.golden_answers import (
    ANSWERS_NAME,
    answers_of,
    arrays_of,
    golden_radiograph,
    model_input,
)
from radiograph.manifest import HeadSpec
from radiograph.preprocess import PreprocessSpec
from training.export.parity import run_graph


def record_answers(stage: Path, heads: Mapping[str, HeadSpec], preprocess: PreprocessSpec) -> str:
    """Answer the golden radiograph with the graphs of a folder, and write the answers there.

    Args:
        stage: folder with the graphs and `golden.npz`, whose phrases are used.
        heads: the heads by name.
        preprocess: preprocessing of the version.

    Returns:
        The name of the file.

    Raises:
        InvalidVersion: an output does not match its head, or is not finite.
    """
    radiograph = golden_radiograph()
    image, geometry = model_input(radiograph, preprocess)
    features = run_graph(stage / "trunk.onnx", {"image": image})
    phrases = _phrases(stage)
    if phrases is not None:
        features["phrase_features"] = phrases
    outputs = {name: run_graph(stage / head.file, features) for name, head in heads.items()}
    count = 0 if phrases is None else len(phrases)
    answers = answers_of(heads, outputs, radiograph, geometry, count)
    arrays = arrays_of(radiograph, answers)
    np.savez_compressed(stage / ANSWERS_NAME, **arrays)  # type: ignore[arg-type] # numpy's stub
    return ANSWERS_NAME


def _phrases(stage: Path) -> NDArray[np.float32] | None:
    """Return the features of the golden phrases; None for a version without a text encoder."""
    path = stage / "text.onnx"
    if not path.is_file():
        return None
    with np.load(stage / "golden.npz", allow_pickle=False) as golden:
        tokens = {name: golden[name] for name in ("input_ids", "attention_mask")}
    return run_graph(path, tokens)["phrase_features"]
