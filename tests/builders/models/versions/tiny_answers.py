"""The tiny version with golden answers: a radiograph, and what every head says about it."""

from pathlib import Path

import numpy as np

from radiograph.golden_answers import (
    ANSWERS_NAME,
    answers_of,
    arrays_of,
    golden_radiograph,
    model_input,
)
from radiograph.manifest import GoldenSpec
from tests.builders.models.versions import tiny_version
from tests.builders.models.versions.tiny_version import HEADS, PREPROCESS, run_graph


def publish(root: Path) -> int:
    """Publish a version with golden answers as `stable`."""
    spec = GoldenSpec(file="golden.npz", tolerance=1e-4, answers=ANSWERS_NAME)
    return tiny_version.publish(root, change=_write, golden_spec=spec)


def _write(stage: Path) -> None:
    np.savez(stage / ANSWERS_NAME, **golden_answers(stage))  # type: ignore[arg-type] # numpy's stub


def golden_answers(folder: Path) -> tiny_version.Arrays:
    """Return the golden radiograph, and the answers to it with ONNX Runtime."""
    radiograph = golden_radiograph()
    image, geometry = model_input(radiograph, PREPROCESS)
    golden = tiny_version.golden(folder)
    text = {name: golden[name] for name in ("input_ids", "attention_mask")}
    given = run_graph(folder / "trunk.onnx", {"image": image})
    given |= run_graph(folder / "text.onnx", text)
    outputs = {
        name: run_graph(folder / head.file, {item: given[item] for item in head.inputs})
        for name, head in HEADS.items()
    }
    return arrays_of(radiograph, answers_of(HEADS, outputs, radiograph, geometry, phrases=2))
