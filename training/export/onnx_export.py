"""Export a fine-tuned run to ONNX, and prove that ONNX answers as PyTorch does.

    run -> trunk.onnx, text.onnx + tokenizer.json, heads/<head>.onnx, golden.npz, export.json

A run without a head that reads phrases has no text side, and one whose heads read the encoder
alone has no decoder in its trunk: neither is written.

`export.json` holds the largest difference of every output over images and phrases
that are not the golden ones, as it is read (`difference`) and of the raw numbers. One that is
read and over the tolerance is `PublishRefused`, as is an answer that is decided otherwise.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from radiograph.errors import PublishRefused
from training.evaluation.assessment import RunFolder
from training.evaluation.calibration import specs_of
from training.evaluation.trained_model import TrainedModel, Trunk
from training.export.decision_parity import other_decisions
from training.export.parity import (
    TOLERANCE,
    _both_answers,
    _feeds,
    _phrase_features,
    _refuse_difference,
    difference,
    torch_answers,
)
from training.export.weight_compression import compact
from training.model.text_encoder import Tokens, tokenize
from training.progress import track

OPSET = 18
_PHRASES = ("left lung", "the heart is enlarged", "opacity at the base of the right lung")


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: with every file of the version but manifest and model card.
        parity: output -> largest difference (see `difference`) between PyTorch and ONNX.
        raw: output -> largest absolute difference, such as that of a logit of -30.
        trunk_outputs: names, in the graph's order.
        head_inputs: head -> names of the features that it reads.
        weights: digest of the model that was exported; empty where that was not noted.
    """

    folder: Path
    parity: dict[str, float]
    raw: dict[str, float]
    trunk_outputs: tuple[str, ...]
    head_inputs: dict[str, tuple[str, ...]]
    weights: str = ""


def export(model: TrainedModel, folder: Path, tolerance: float = TOLERANCE) -> Exported:
    """Write the graphs and check them.

    Args:
        model: the run.
        folder: empty or new.
        tolerance: largest difference allowed.

    Raises:
        PublishRefused: an output differs by more than `tolerance`, or an answer is another.
    """
    (folder / "heads").mkdir(parents=True, exist_ok=True)
    size = model.config.preprocess.size_px
    images = test_images(2, size, seed=0)
    tokens = _tokens(model, _PHRASES)
    with torch.inference_mode():
        features = model.features(images)
        everything = features | _phrase_features(model, tokens)
    _export_trunk(model, images, tuple(features), folder / "trunk.onnx")
    if tokens is not None:
        _export_text(model, tokens, folder)
    for name in track(sorted(model.heads), "exporting heads"):
        _export_head(model.heads[name], everything, folder / "heads" / f"{name}.onnx")
    _write_golden(folder, model)
    ours, theirs = _both_answers(folder, model, images, tokens)
    parity = {name: difference(name, ours[name], theirs[name]) for name in sorted(ours)}
    raw = {name: float(np.abs(ours[name] - theirs[name]).max()) for name in sorted(ours)}
    head_inputs = {name: tuple(head.inputs) for name, head in model.heads.items()}  # type: ignore[arg-type]
    exported = Exported(folder, parity, raw, tuple(features), head_inputs, model.digest)
    _refuse_difference(parity, tolerance)
    if other := other_decisions(specs_of(model), ours, theirs, size):
        raise PublishRefused(f"ONNX decides otherwise than PyTorch: {'; '.join(other[:8])}")
    return exported


def _tokens(model: TrainedModel, phrases: Sequence[str]) -> Tokens | None:
    """None where no head reads phrases."""
    if not model.reads_text:
        return None
    return tokenize(model.tokenizer, phrases, model.module.model.text.max_tokens)


def test_images(count: int, size: int, seed: int) -> Tensor:
    """Smooth random pictures in the model's input range, count x 1 x size x size.

    No radiograph is needed to see whether two runtimes agree, and none is given away.
    """
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.standard_normal((count, 1, 9, 9)).astype(np.float32))
    smooth = nn.functional.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)
    fine = torch.from_numpy(rng.standard_normal((count, 1, size, size)).astype(np.float32))
    return (smooth + 0.05 * fine).clamp(-1, 1)


def _onnx(
    module: nn.Module,
    inputs: Sequence[Tensor],
    names: tuple[Sequence[str], Sequence[str]],
    axes: Mapping[str, dict[int, str]],
    path: Path,
    embedding_rows: int | None = None,
) -> None:
    input_names, output_names = names
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's remarks on its own future
        torch.onnx.export(
            module.eval(),
            tuple(inputs),
            str(path),
            input_names=list(input_names),
            output_names=list(output_names),
            dynamic_axes={key: dict(value) for key, value in axes.items()},
            opset_version=OPSET,
            dynamo=False,
            # EVAL would fold batch norms into weights that then no longer round exactly
            training=torch.onnx.TrainingMode.PRESERVE,
        )
    graph = compact(onnx.load(path), embedding_rows)
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def _export_trunk(
    model: TrainedModel, images: Tensor, outputs: tuple[str, ...], path: Path
) -> None:
    axes = {name: {0: "images"} for name in ("image", *outputs)}
    _onnx(Trunk(model), [images], (["image"], outputs), axes, path)


def _export_text(model: TrainedModel, tokens: Tokens, folder: Path) -> None:
    """Text encoder and tokenizer."""
    ids = {0: "phrases", 1: "tokens"}
    axes = {"input_ids": ids, "attention_mask": ids, "phrase_features": {0: "phrases"}}
    bert = model.module.g2d.lm_model
    rows = bert.bert.embeddings.word_embeddings.num_embeddings
    names = (["input_ids", "attention_mask"], ["phrase_features"])
    inputs = [tokens.input_ids, tokens.attention_mask]
    _onnx(bert, inputs, names, axes, folder / "text.onnx", rows)
    model.tokenizer.backend_tokenizer.no_truncation()
    model.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))


class _Outputs(nn.Module):
    """A head whose dictionary of outputs becomes a tuple, as ONNX wants it."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.head(*inputs).values())


def _export_head(head: nn.Module, features: Mapping[str, Tensor], path: Path) -> None:
    names: tuple[str, ...] = head.inputs  # type: ignore[assignment]
    inputs = [features[name] for name in names]
    with torch.inference_mode():
        outputs = tuple(head(*inputs))
    axes = {name: {0: "phrases" if name == "phrase_features" else "images"} for name in names}
    axes |= {name: {0: "images"} for name in outputs}
    if "phrase_features" in names:
        for name in outputs:
            axes[name] = {0: "images", 1: "phrases"}
    _onnx(_Outputs(head), inputs, (names, outputs), axes, path)


def _write_golden(folder: Path, model: TrainedModel) -> None:
    """One image, one phrase where a head reads phrases, and what PyTorch answers."""
    images = test_images(1, model.config.preprocess.size_px, seed=1)
    tokens = _tokens(model, ["left lung"])
    feeds = _feeds(images, tokens)
    arrays: dict[str, Any] = {**feeds, **torch_answers(model, images, tokens)}
    np.savez_compressed(folder / "golden.npz", **arrays)


def write_parity(exported: Exported) -> None:
    """Write `export.json` beside the graphs."""
    described = {
        "parity": exported.parity,
        "raw": exported.raw,
        "trunk_outputs": exported.trunk_outputs,
        "head_inputs": exported.head_inputs,
        "weights": exported.weights,
    }
    (exported.folder / "export.json").write_text(json.dumps(described, indent=2))


def read_export(run: RunFolder) -> Exported:
    """What `g2d export` wrote.

    Raises:
        PublishRefused: the run was not exported.
    """
    path = run.export / "export.json"
    if not path.is_file():
        raise PublishRefused(f"{run.path} was not exported: g2d export {run.path}")
    described = json.loads(path.read_text())
    return Exported(
        run.export,
        described["parity"],
        described["raw"],
        tuple(described["trunk_outputs"]),
        {name: tuple(inputs) for name, inputs in described["head_inputs"].items()},
        described.get("weights", ""),
    )
