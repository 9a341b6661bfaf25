"""Numerical parity: ONNX Runtime and PyTorch give the same outputs for the same inputs.

    images, tokens -> PyTorch      -> outputs by name \
                   -> ONNX Runtime -> outputs by name -> largest difference of each -> refuse
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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
TRUNK = "trunk.onnx"
Feeds = Mapping[str, NDArray[Any]]
RunGraph = Callable[[Feeds], dict[str, FloatArray]]


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


def onnx_outputs(
    folder: Path, feeds: Feeds, trunk: str = TRUNK, *, fused: bool = True
) -> dict[str, FloatArray]:
    """Return every output of an exported folder: `trunk.*`, `text.phrase_features`, `<head>.*`.

    Args:
        folder: folder with a trunk, heads/ and, if a head reads phrases, text.onnx.
        feeds: `image`, and `input_ids` and `attention_mask` if there is a text side.
        trunk: file of the trunk.
        fused: see `open_graph`; of the trunk alone.
    """
    features = open_graph(folder / trunk, fused=fused)(feeds)
    path = folder / "text.onnx"
    text = run_graph(path, feeds) if path.is_file() else {}
    outputs = {f"trunk.{name}": value for name, value in features.items()}
    outputs |= {f"text.{name}": value for name, value in text.items()}
    for path in sorted((folder / "heads").glob("*.onnx")):
        head = run_graph(path, features | text)
        outputs |= {f"{path.stem}.{name}": value for name, value in head.items()}
    return outputs


def run_graph(path: Path, feeds: Feeds) -> dict[str, FloatArray]:
    """Return every output of one graph by name; `feeds` may hold more than its inputs."""
    return open_graph(path)(feeds)


def open_graph(model: Path | bytes, *, fused: bool = True) -> RunGraph:
    """Return a function from feeds, which may hold more than the inputs, to every output by name.

    Args:
        model: the file of a graph, or its bytes.
        fused: False to run each operator of the graph on its own, as a processor without the
            kernel of several would.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not fused:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    source = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    inputs = [item.name for item in session.get_inputs()]

    def run(feeds: Feeds) -> dict[str, FloatArray]:
        return dict(zip(names, session.run(names, {n: feeds[n] for n in inputs}), strict=True))

    return run


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
    Features are compared absolutely up to 1, and beyond it relative to ours or to the root mean
    square of the map, if that is more: a value near 0 is a sum of terms of that size, which round.

    Args:
        name: name of the output.
        ours, theirs: arrays of one shape.
    """
    if name.endswith((".logits", ".presence")):
        ours, theirs = _probabilities(ours), _probabilities(theirs)
    scale = max(1.0, float(np.sqrt(np.mean(np.square(ours, dtype=np.float64)))))
    return float((np.abs(ours - theirs) / np.maximum(scale, np.abs(ours))).max())


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
