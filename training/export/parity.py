"""The proof of parity: ONNX Runtime and PyTorch give the same outputs for the same inputs."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from radiograph.errors import PublishRefused
from training.evaluation.trained_model import PHRASES, TrainedModel
from training.metrics.arrays import FloatArray
from training.model.text_encoder import Tokens

TOLERANCE = 1e-4


def _phrase_features(model: TrainedModel, tokens: Tokens | None) -> dict[str, Tensor]:
    if tokens is None:
        return {}
    return {PHRASES: model.module.g2d.lm_model(tokens.input_ids, tokens.attention_mask)}


def answers(folder: Path, feeds: Mapping[str, NDArray[np.generic]]) -> dict[str, FloatArray]:
    """Every output of an exported folder: `trunk.*`, `text.phrase_features`, `<head>.*`.

    Args:
        folder: with trunk.onnx, heads/ and, where a head reads phrases, text.onnx.
        feeds: `image`, and `input_ids` and `attention_mask` where there is a text side.
    """
    found = {f"trunk.{k}": v for k, v in run_graph(folder / "trunk.onnx", feeds).items()}
    path = folder / "text.onnx"
    text = run_graph(path, feeds) if path.is_file() else {}
    found |= {f"text.{k}": v for k, v in text.items()}
    features = {name.removeprefix("trunk."): v for name, v in found.items()} | text
    for path in sorted((folder / "heads").glob("*.onnx")):
        found |= {f"{path.stem}.{k}": v for k, v in run_graph(path, features).items()}
    return found


def run_graph(path: Path, feeds: Mapping[str, NDArray[np.generic]]) -> dict[str, FloatArray]:
    """Every output of one graph, by name; `feeds` may hold more than its inputs."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    wanted = {item.name: feeds[item.name] for item in session.get_inputs()}
    return dict(zip(names, session.run(names, wanted), strict=True))


def _feeds(images: Tensor, tokens: Tokens | None) -> dict[str, NDArray[np.generic]]:
    feeds: dict[str, NDArray[np.generic]] = {"image": images.numpy()}
    if tokens is not None:
        feeds["input_ids"] = tokens.input_ids.numpy()
        feeds["attention_mask"] = tokens.attention_mask.numpy()
    return feeds


@torch.inference_mode()
def torch_answers(
    model: TrainedModel, images: Tensor, tokens: Tokens | None
) -> dict[str, FloatArray]:
    """The same outputs as `answers`, from PyTorch; without tokens none of heads with phrases."""
    features, text = model.features(images), _phrase_features(model, tokens)
    found = {f"trunk.{name}": value for name, value in features.items()}
    found |= {f"text.{name}": value for name, value in text.items()}
    everything = features | text
    for name, head in model.heads.items():
        names: tuple[str, ...] = head.inputs  # type: ignore[assignment]
        if PHRASES in names and not text:
            continue
        output: dict[str, Tensor] = head(*(everything[key] for key in names))
        found |= {f"{name}.{key}": value for key, value in output.items()}
    return {name: value.numpy() for name, value in found.items()}


def _both_answers(
    folder: Path, model: TrainedModel, images: Tensor, tokens: Tokens | None
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Every output by name, from PyTorch and from ONNX."""
    ours = torch_answers(model, images, tokens)
    theirs = answers(folder, _feeds(images, tokens))
    if set(ours) != set(theirs):
        raise PublishRefused(f"outputs differ by name: {sorted(set(ours) ^ set(theirs))}")
    return ours, theirs


def difference(name: str, ours: FloatArray, theirs: FloatArray) -> float:
    """Largest difference of an output, as it is read.

    Logits and presence are only ever read through a sigmoid, so their probabilities are
    compared. Features are compared absolutely up to 1, relative to ours beyond.
    """
    if name.endswith((".logits", ".presence")):
        ours, theirs = _sigmoid(ours), _sigmoid(theirs)
    return float((np.abs(ours - theirs) / np.maximum(1.0, np.abs(ours))).max())


def _sigmoid(logits: FloatArray) -> FloatArray:
    return (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)


def _refuse_difference(parity: Mapping[str, float], tolerance: float) -> None:
    over = {name: value for name, value in parity.items() if not value <= tolerance}
    if over:
        raise PublishRefused(
            f"ONNX differs from PyTorch by more than {tolerance}: {json.dumps(over)}"
        )
