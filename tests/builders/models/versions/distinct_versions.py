"""Versions of the tiny model with different answers, so that an answer shows its version.

The bias of `findings` differs: "Lung opacity" in a black image has the probability
1 / (1 + exp(-bias)).
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from tests.builders.models.versions import tiny_version


def publish(root: Path, bias: float, alias: str | None = "stable", name: str = "tiny") -> int:
    """Publish one more version, with golden outputs of its own."""

    def change(stage: Path) -> None:
        write_findings(stage / "heads/findings.onnx", bias)
        np.savez(stage / "golden.npz", **tiny_version.golden(stage))  # type: ignore[arg-type]

    return tiny_version.publish(root, alias=alias, name=name, change=change)


def write_findings(path: Path, bias: float) -> None:
    """Give the `findings` head of the tiny version another bias."""
    model = onnx.load(path)
    values = np.array([bias, -bias], dtype=np.float32)
    for constant in model.graph.initializer:
        if constant.name == "bias":
            constant.CopyFrom(numpy_helper.from_array(values, "bias"))
    onnx.save(model, path)


def probability(bias: float) -> float:
    """Return the probability of "Lung opacity" in a black image."""
    return 1 / (1 + math.exp(-bias))


def answered_probability(body: dict[str, Any]) -> float:
    """Return the probability of "Lung opacity" in an answer to /classify."""
    (finding,) = (item for item in body["findings"] if item["name"] == "Lung opacity")
    value: float = finding["probability"]
    return value
