"""Numerical parity: ONNX Runtime and PyTorch give the same outputs for the same inputs.

    images, tokens -> PyTorch      -> outputs by name \
                   -> ONNX Runtime -> outputs by name -> largest difference of each -> refuse
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from radiograph.errors import PublishRefused
from radiograph.postprocess.activations import sigmoid
from training.evaluation.trained_model import TrainedModel
from training.heads.head import PHRASES
from training.metrics.arrays import FloatArray
from training.model.text_encoder import Tokens

TOLERANCE = 1e-4
"""Largest difference that an export may have."""
Feeds = Mapping[str, NDArray[np.generic]]


def phrase_features(model: TrainedModel, tokens: Tokens | None) -> dict[str, Tensor]:
    """Return the features of the phrases by name; none without tokens."""
    if tokens is None:
        return {}
    return {PHRASES: model.module.g2d.lm_model(tokens.input_ids, tokens.attention_mask)}


def feeds_of(images: Tensor, tokens: Tokens | None) -> dict[str, NDArray[np.generic]]:
    """Return the inputs of the graphs by name.

    Args:
        images: B x 1 x S x S, normalised.
        tokens: tokens of the phrases; None if no head reads phrases.
    """
    feeds: dict[str, NDArray[np.generic]] = {"image": images.numpy()}
    if tokens is not None:
        feeds["input_ids"] = tokens.input_ids.numpy()
        feeds["attention_mask"] = tokens.attention_mask.numpy()
    return feeds


def onnx_outputs(folder: Path, feeds: Feeds) -> dict[str, FloatArray]:
    """Return every output of an exported folder: `trunk.*`, `text.phrase_features`, `<head>.*`.

    Args:
        folder: folder with trunk.onnx, heads/ and, if a head reads phrases, text.onnx.
        feeds: `image`, and `input_ids` and `attention_mask` if there is a text side.
    """
    trunk = run_graph(folder / "trunk.onnx", feeds)
    path = folder / "text.onnx"
    text = run_graph(path, feeds) if path.is_file() else {}
    outputs = {f"trunk.{name}": value for name, value in trunk.items()}
    outputs |= {f"text.{name}": value for name, value in text.items()}
    features = trunk | text
    for path in sorted((folder / "heads").glob("*.onnx")):
        head = run_graph(path, features)
        outputs |= {f"{path.stem}.{name}": value for name, value in head.items()}
    return outputs


def run_graph(path: Path, feeds: Feeds) -> dict[str, FloatArray]:
    """Return every output of one graph by name; `feeds` may hold more than its inputs."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    inputs = {item.name: feeds[item.name] for item in session.get_inputs()}
    return dict(zip(names, session.run(names, inputs), strict=True))


@torch.inference_mode()
def torch_outputs(
    model: TrainedModel, images: Tensor, tokens: Tokens | None
) -> dict[str, FloatArray]:
    """Return the outputs of `onnx_outputs` from PyTorch.

    Args:
        model: run to export.
        images: B x 1 x S x S, normalised.
        tokens: tokens of the phrases; without them, heads that read phrases are left out.
    """
    features, text = model.features(images), phrase_features(model, tokens)
    outputs = {f"trunk.{name}": value for name, value in features.items()}
    outputs |= {f"text.{name}": value for name, value in text.items()}
    for name, head in model.heads.items():
        if PHRASES in head.inputs and not text:
            continue
        outputs |= {f"{name}.{key}": value for key, value in head.outputs(features | text).items()}
    return {name: value.numpy() for name, value in outputs.items()}


def both_outputs(
    folder: Path, model: TrainedModel, images: Tensor, tokens: Tokens | None
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Return every output by name, first from PyTorch and then from ONNX Runtime.

    Raises:
        PublishRefused: the names of the outputs differ.
    """
    ours = torch_outputs(model, images, tokens)
    theirs = onnx_outputs(folder, feeds_of(images, tokens))
    if set(ours) != set(theirs):
        raise PublishRefused(f"outputs differ by name: {sorted(set(ours) ^ set(theirs))}")
    return ours, theirs


def difference(name: str, ours: FloatArray, theirs: FloatArray) -> float:
    """Return the largest difference of an output in the form in which it is used.

    Logits and presence are used through a sigmoid only, so their probabilities are compared.
    Features are compared absolutely up to 1, and beyond it relative to ours.

    Args:
        name: name of the output.
        ours, theirs: arrays of one shape.
    """
    if name.endswith((".logits", ".presence")):
        ours, theirs = _probabilities(ours), _probabilities(theirs)
    return float((np.abs(ours - theirs) / np.maximum(1.0, np.abs(ours))).max())


def _probabilities(logits: FloatArray) -> FloatArray:
    return sigmoid(logits.astype(np.float64)).astype(np.float32)


def refuse_difference(parity: Mapping[str, float], tolerance: float) -> None:
    """Check the differences of all outputs.

    Raises:
        PublishRefused: a difference is above the tolerance, or is not a number.
    """
    # Not `value > tolerance`, which is false for NaN.
    over = {name: value for name, value in parity.items() if not value <= tolerance}
    if over:
        raise PublishRefused(
            f"ONNX differs from PyTorch by more than {tolerance}: {json.dumps(over)}"
        )
